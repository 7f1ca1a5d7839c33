//! The runbooks that come with Keyhound, as pages.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::html::{HtmlPage, HtmlText};
use crate::rules::runbooks;

/// The list of them.
pub(super) fn list() -> HtmlPage {
    let mut page = HtmlText::default();
    page.markup("<h1>Runbooks</h1>\n<ul>\n");
    for (name, text) in runbooks::SHIPPED {
        page.markup("<li>").link(&format!("runbooks/{name}"), title(text)).markup("</li>\n");
    }
    page.markup("</ul>\n");
    page.page("Runbooks", "")
}

/// One of them; `None` = there is none of this name.
pub(super) fn show(name: &str) -> Option<HtmlPage> {
    let text = runbooks::text(name)?;
    let mut page = HtmlText::default();
    page.shipped(&rendered(text));
    Some(page.page(title(text), "../"))
}

fn title(markdown: &str) -> &str {
    markdown.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
}

/// Markdown to HTML. Headings get the names that links to them have in a repository; HTML in it is shown as text, and
/// so is a link to a page that is not here.
fn rendered(markdown: &str) -> String {
    let mut leads = true;
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = on_site(dest_url);
                leads = is_page(&dest_url);
                leads.then_some(Event::Start(Tag::Link { link_type, dest_url, title, id }))
            }
            Event::End(TagEnd::Link) => leads.then_some(event),
            other => Some(other),
        })
        .collect();
    name_headings(&mut events);
    let mut page = String::new();
    html::push_html(&mut page, events.into_iter());
    page
}

/// Whether an address is a runbook, a place in this one, or elsewhere on the web.
fn is_page(address: &str) -> bool {
    let page = address.split('#').next().unwrap_or_default();
    page.is_empty() || page.starts_with("https://") || runbooks::text(page).is_some()
}

/// `key-cost.md#what` is the page `key-cost#what` here.
fn on_site(address: CowStr<'_>) -> CowStr<'_> {
    match address.split_once(".md") {
        Some((name, rest)) if runbooks::text(name).is_some() => format!("{name}{rest}").into(),
        _ => address,
    }
}

fn name_headings(events: &mut [Event<'_>]) {
    let mut heading: Option<(usize, String)> = None;
    for at in 0..events.len() {
        match &events[at] {
            Event::Start(Tag::Heading { .. }) => heading = Some((at, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, words)) = &mut heading {
                    words.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((start, words)) = heading.take()
                    && let Event::Start(Tag::Heading { id, .. }) = &mut events[start]
                {
                    *id = Some(anchor(&words).into());
                }
            }
            _ => {}
        }
    }
}

/// `What to do?` is `what-to-do`.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_headings_and_code_are_rendered() {
        let html = rendered("# Two `words`\n\n| a | b |\n|---|---|\n| 1 | <b> |\n\n[x](key-cost.md#what)\n");
        assert!(html.contains("<h1 id=\"two-words\">Two <code>words</code></h1>"), "{html}");
        assert!(html.contains("<td>1</td><td>&lt;b&gt;</td>"), "{html}");
        assert!(html.contains("<a href=\"key-cost#what\">"), "{html}");
    }

    #[test]
    fn a_link_to_a_page_that_is_not_here_is_shown_as_text() {
        let html = rendered("[a](../operations.md#x) [b](https://b.example) [c](#two) [d](javascript:x)\n");
        assert_eq!(html, "<p>a <a href=\"https://b.example\">b</a> <a href=\"#two\">c</a> d</p>\n");
    }
}
