//! What every page consists of. A page is one file: no script, nothing from elsewhere, readable in the dark and on a phone.

use lithify::scan::profile::Skipped;
use lithify::show::plural;

const STYLE: &str = "\
:root { color-scheme: light dark; --text: #1b1f24; --dim: #57606a; --line: #d0d7de; --back: #ffffff; --card: #f6f8fa; --bar: #0969da; --other: #8250df; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #9da7b1; --line: #3d444d; --back: #0d1117; --card: #161b22; --bar: #4493f8; --other: #ab7df8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
h1 { font-size: 1.6rem; margin: .5rem 0; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 1.5rem 0 .5rem; } h3 { font-size: 1rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; } .dim { color: var(--dim); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; white-space: nowrap; }
th { color: var(--dim); font-weight: 600; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: .9rem/1.4 ui-monospace, monospace; } pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; margin: .4rem 0; }
svg { display: block; max-width: 100%; height: auto; } svg .bar { fill: var(--bar); } svg .other { fill: var(--other); } svg .back { fill: var(--line); } svg .line { stroke: var(--bar); fill: none; stroke-width: 1.5; } svg text { fill: var(--dim); font: 11px system-ui, sans-serif; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; } figure { margin: 0; width: 7.5rem; } figcaption { color: var(--dim); font-size: .8rem; }
figure img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line); } figure .text { font: .75rem/1.35 ui-monospace, monospace; overflow-wrap: anywhere; max-height: 6.6rem; overflow: hidden; border: 1px solid var(--line); border-radius: 4px; padding: .2rem .3rem; background: var(--back); }
";

/// A text as it stands in a page.
pub fn text(of: &str) -> String {
    let mut escaped = String::with_capacity(of.len());
    for letter in of.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() && control != '\n' => escaped.extend(control.escape_debug()),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A whole page.
pub fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"generator\" content=\"lithify\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n<footer><p class=\"dim\">lithify {}</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// A section with a heading.
pub fn section(heading: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", text(heading))
}

/// A card with a heading of its own.
pub fn card(heading: &str, body: &str) -> String {
    format!("<article class=\"card\">\n<h3>{}</h3>\n{body}</article>\n", text(heading))
}

/// A paragraph, in which what stands in backticks is code.
pub fn paragraph(of: &str) -> String {
    let parts = of.split('`').enumerate().map(|(number, part)| match number % 2 {
        0 => text(part),
        _ => format!("<code>{}</code>", text(part)),
    });
    format!("<p>{}</p>\n", parts.collect::<String>())
}

/// Rows of cells under a head; cells are texts.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    table_of(head, rows.iter().map(|row| row.iter().map(|cell| text(cell)).collect()))
}

/// Rows of cells under a head; cells are parts of a page. Those of numbers stand at the right.
pub fn table_of(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let head: Vec<_> = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", text(cell))).collect();
    let is_number = |cell: &str| {
        let number = cell.split(' ').next().unwrap_or_default();
        number.contains(|letter: char| letter.is_ascii_digit())
            && number.chars().all(|letter| "0123456789,.-e".contains(letter))
    };
    let cell = |cell: &String| {
        let class = if is_number(cell) { " class=\"number\"" } else { "" };
        format!("<td{class}>{cell}</td>")
    };
    let row = |row: Vec<String>| format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>());
    let rows: Vec<_> = rows.into_iter().map(row).collect();
    let (head, rows) = (head.concat(), rows.concat());
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// A command, to be copied.
pub fn command(words: &str) -> String {
    format!("<pre><code>{}</code></pre>\n", text(words))
}

/// The facts of something, a row each; those that say nothing are left out.
pub fn facts(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text(name), text(value))
    };
    let rows: Vec<_> = rows.iter().filter(|row| !row.1.is_empty()).map(row).collect();
    format!("<div class=\"scroll\"><table>\n<tbody>\n{}</tbody>\n</table></div>\n", rows.concat())
}

/// How many elements were left out, as a fact: nothing of none.
pub fn left_out(skipped: &[Skipped]) -> String {
    if skipped.is_empty() { String::new() } else { plural(skipped.len() as u64, "element") }
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_name_is_no_markup() {
        assert_eq!(text("<a href=\"x\">&\u{7}"), "&lt;a href=&quot;x&quot;&gt;&amp;\\u{7}");
        assert!(!page("<script>", &card("</h3>", "")).contains("<script>"));
    }
}
