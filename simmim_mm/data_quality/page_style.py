"""The look of the page of pictures, on light and on dark screens."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --quiet: #59636e; --line: #d5dbe1; --tile: #f3f5f7;
  --accent: #0a58ca; --warn: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --text: #e6e9ec; --quiet: #9aa5b1; --line: #323a43;
  --tile: #1e2329; --accent: #7db4ff; --warn: #ffab7a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 0; font-size: 1.2rem; }
p { margin: .25rem 0 .75rem; color: var(--quiet); }
a { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; white-space: nowrap; font-weight: 600; padding-bottom: .25rem; }
th, td { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--quiet); white-space: nowrap; }
td.file { min-width: 11rem; }
td.number { text-align: right; white-space: nowrap; }
.left-out { color: var(--warn); }
.tables { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem 2.5rem; margin-top: 1.5rem; }
.scroll { overflow-x: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: .75rem; }
.groups { display: flex; flex-wrap: wrap; gap: .75rem; }
.groups .pictures { display: flex; flex-wrap: wrap; border: 1px solid var(--line); border-radius: 8px; padding: .5rem; }
.groups figure { width: 124px; }
figure { margin: 0; min-width: 0; }
figure div { background: var(--tile); border-radius: 6px; height: 112px; display: flex; align-items: center;
  justify-content: center; overflow: hidden; }
figure.kept div { outline: 2px solid var(--accent); }
img { max-width: 100%; max-height: 112px; display: block; }
figcaption { font-size: .75rem; line-height: 1.35; margin-top: .25rem; overflow-wrap: anywhere; }
figcaption span { display: block; color: var(--quiet); }
pre { background: var(--tile); border-radius: 6px; padding: .75rem; overflow-x: auto; font-size: .85rem;
  margin: .5rem 0; }
"""
