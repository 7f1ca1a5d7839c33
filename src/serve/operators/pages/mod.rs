//! Pages for people with a browser: the index, incidents, runbooks. They read, and change nothing.
//!
//! A browser has no bearer token. Where there is a token, a page of an incident opens by the signed link of its alert,
//! and every page to whoever gives the token as the password of HTTP Basic. The index and the runbooks are the same for
//! everybody, and open.

mod html;
mod incident;
mod runbook;

use std::sync::Arc;

use axum::{
    extract::{Path, Query, Request, State},
    http::{HeaderValue, StatusCode, Uri, header::WWW_AUTHENTICATE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use self::html::{HtmlPage, HtmlText};
use super::{Operators, Problem, access, incidents};
use crate::serve::view::View;

/// Incidents in the list, open ones and closed ones each.
const LISTED: usize = 200;

/// The query of a signed link.
#[derive(Deserialize)]
struct SignedLink {
    expires: u64,
    signature: String,
}

pub(super) async fn index() -> HtmlPage {
    let mut page = HtmlText::default();
    page.markup("<h1>Keyhound</h1>\n<ul>\n<li>").link("incidents", "Incidents").markup("</li>\n<li>");
    page.link("runbooks", "Runbooks").markup("</li>\n<li>").link("readyz", "Readiness").markup("</li>\n<li>");
    page.link("metrics", "Metrics").markup("</li>\n</ul>\n<p>Programs ask below <code>/api/v1</code>.</p>\n");
    page.page("Index", "")
}

pub(super) async fn runbooks() -> HtmlPage {
    runbook::list()
}

pub(super) async fn runbook(Path(name): Path<String>) -> Result<HtmlPage, ProblemPage> {
    let none = || ProblemPage(Problem::not_found("no runbook of this name comes with Keyhound"));
    runbook::show(&name).ok_or_else(none)
}

pub(super) async fn list(State(operators): State<Arc<Operators>>) -> HtmlPage {
    let open = operators.board.incidents(LISTED, crate::incident::Incident::is_open);
    let closed = operators.board.incidents(LISTED, |incident| !incident.is_open());
    incident::list_page(&open, &closed)
}

pub(super) async fn show(
    State(operators): State<Arc<Operators>>,
    Path(id): Path<String>,
) -> Result<HtmlPage, ProblemPage> {
    let incident = incidents::find(&operators, id).map_err(ProblemPage)?;
    let catalogue = operators.catalogue.load();
    let entry = incidents::entry(&operators, &catalogue, &incident);
    let view = View { incident: &incident, now: operators.clock.now(), entry, effect: None };
    Ok(incident::show(&view, &operators.links))
}

/// Lets whoever may read a page through, or answers.
pub(super) async fn guard(State(operators): State<Arc<Operators>>, request: Request, next: Next) -> Response {
    let may_read = if is_signed(&operators, request.uri()) {
        Ok(())
    } else {
        operators.access.check_page(request.headers())
    };
    access::answered(&operators, may_read, request, next, |problem| ProblemPage(problem).into_response())
        .await
}

fn is_signed(operators: &Operators, uri: &Uri) -> bool {
    let id = uri.path().strip_prefix("/incidents/");
    id.zip(Query::<SignedLink>::try_from_uri(uri).ok()).is_some_and(|(id, Query(link))| {
        operators.links.opens(id, link.expires, &link.signature, operators.clock.now())
    })
}

/// What went wrong, as a page.
pub(super) struct ProblemPage(Problem);

impl IntoResponse for ProblemPage {
    fn into_response(self) -> Response {
        let Problem { title, status, detail, .. } = self.0;
        let mut page = HtmlText::default();
        page.markup("<h1>").text(&title).markup("</h1>\n<p>").text(&detail).markup("</p>\n");
        // The way to the root is not known here; both kinds of pages that may be refused are at most one step below it.
        let mut page = page.page(&title, "../");
        page.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let unauthorized = page.status == StatusCode::UNAUTHORIZED;
        let mut response = page.into_response();
        if unauthorized {
            let basic = HeaderValue::from_static("Basic realm=\"keyhound\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, basic);
        }
        response
    }
}

#[cfg(test)]
mod tests;
