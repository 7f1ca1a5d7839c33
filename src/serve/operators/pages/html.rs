//! Pages of HTML that need no script: what is not markup of ours is escaped.

use std::sync::LazyLock;

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use crate::event::printable;

const STYLE: &str = include_str!("style.css");

/// Nothing but the style above: no script, no frame around it, no form, nothing from elsewhere.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// HTML that is being written.
#[derive(Default)]
pub(super) struct HtmlText(String);

impl HtmlText {
    /// Markup, which stands in the program.
    pub fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text from wherever.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&escaped(text));
        self
    }

    /// A link; an address that is neither `http(s)` nor a path of our own is shown and leads nowhere.
    pub fn link(&mut self, address: &str, text: &str) -> &mut Self {
        let is_own = !address.contains(':') && !address.starts_with("//");
        if !(is_own || address.starts_with("https://") || address.starts_with("http://")) {
            return self.text(text);
        }
        self.markup("<a href=\"").text(address).markup("\">").text(text).markup("</a>")
    }

    /// What a program of ours made of a page that ships with it.
    pub fn shipped(&mut self, html: &str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// The whole page. `root` is the way from it to `/`, so that a proxy may put a path before it.
    pub fn page(self, title: &str, root: &'static str) -> HtmlPage {
        let mut page = Self::default();
        page.markup("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        page.markup("<meta name=\"viewport\" content=\"width=device-width\"><title>").text(title);
        page.markup(" – Keyhound</title><style>").shipped(STYLE).markup("</style></head><body>\n<nav>");
        page.link(&format!("{root}."), "Keyhound").link(&format!("{root}incidents"), "Incidents");
        page.link(&format!("{root}runbooks"), "Runbooks").markup("</nav>\n<main>\n");
        page.shipped(&self.0).markup("</main></body></html>\n");
        HtmlPage { status: StatusCode::OK, html: page.0 }
    }
}

fn escaped(text: &str) -> String {
    printable(text).chars().fold(String::with_capacity(text.len()), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
        html
    })
}

/// A page, as an answer.
pub(in crate::serve) struct HtmlPage {
    pub status: StatusCode,
    html: String,
}

impl IntoResponse for HtmlPage {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.html).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The address of a page may hold a signature: it goes to no other site, and no cache keeps what it opened.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_markup() {
        let mut html = HtmlText::default();
        html.text("<script>alert('x')</script> & \"\u{1b}[31m\u{202e}");
        assert_eq!(html.0, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot; [31m");
    }

    #[test]
    fn a_link_leads_to_pages_only() {
        let link = |address: &str| {
            let mut html = HtmlText::default();
            html.link(address, "x");
            html.0
        };
        assert_eq!(link("https://a/?b=1&c=\""), "<a href=\"https://a/?b=1&amp;c=&quot;\">x</a>");
        assert_eq!(link("../runbooks/key-cost"), "<a href=\"../runbooks/key-cost\">x</a>");
        for other in ["javascript:alert(1)//.md", "data:text/html,x", "//evil.example", "JAVASCRIPT:x"] {
            assert_eq!(link(other), "x", "{other}");
        }
    }
}
