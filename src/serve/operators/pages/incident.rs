//! One incident, as it is read at three in the morning, and the list of them.

use std::sync::Arc;

use super::html::{HtmlPage, HtmlText};
use crate::{
    deliver::alertmanager::PageLinks,
    incident::Incident,
    rules::runbooks,
    serve::view::{self, View},
};

/// The page of one incident: the same order as on a terminal.
pub(super) fn show(view: &View<'_>, links: &PageLinks) -> HtmlPage {
    let incident = view.incident;
    let mut page = HtmlText::default();
    page.markup("<h1>").text(view::verdict_words(incident)).markup("</h1>\n<p>");
    severity(&mut page, incident);
    page.markup(" ").text(&view::state(view)).markup(" <code>").text(&incident.id.0).markup("</code></p>\n");
    page.markup("<p><b>").text(&view::key_name(incident)).markup("</b> <code>").text(&incident.subject.id);
    page.markup("</code> ").text(&view::facts(view)).markup("</p>\n");
    why(&mut page, incident);
    seen(&mut page, incident);
    list(&mut page, "<h2>Doubt</h2>\n", &view::doubts(incident));
    list(&mut page, "<h2>Did</h2>\n", &view::did(incident));
    list(&mut page, "<h2>Withheld</h2>\n", &view::withheld(incident));
    to_do(&mut page, view, links);
    page.page(&format!("{}: {}", incident.severity.as_str(), view::key_name(incident)), "../")
}

/// Open incidents, and those that closed lately.
pub(super) fn list_page(open: &[Arc<Incident>], closed: &[Arc<Incident>]) -> HtmlPage {
    let mut page = HtmlText::default();
    page.markup("<h1>Incidents</h1>\n");
    for (head, none, incidents) in [
        ("<h2>Open</h2>\n", "<p>No incident is open.</p>\n", open),
        ("<h2>Closed lately</h2>\n", "<p>None has closed since the start.</p>\n", closed),
    ] {
        page.markup(head);
        if incidents.is_empty() {
            page.markup(none);
            continue;
        }
        page.markup("<table><tr><th>Severity<th>Key<th>Verdict<th>Since<th>Why<th>Incident</tr>\n");
        for incident in incidents {
            row(&mut page, incident);
        }
        page.markup("</table>\n");
    }
    page.page("Incidents", "")
}

fn row(page: &mut HtmlText, incident: &Incident) {
    page.markup("<tr><td>");
    severity(page, incident);
    page.markup("<td>").text(&view::key_name(incident)).markup("<td>").text(&incident.verdict);
    page.markup("<td>").text(&incident.opened_at).markup("<td>");
    let leading = view::reasons(incident).first().map(|reason| reason.observed.clone());
    page.text(&leading.unwrap_or_default()).markup("<td>");
    page.link(&format!("incidents/{}", incident.id.0), &incident.id.0).markup("</tr>\n");
}

fn severity(page: &mut HtmlText, incident: &Incident) {
    let word = incident.severity.as_str();
    page.markup("<span class=\"").text(word).markup("\">").text(word).markup("</span>");
}

fn why(page: &mut HtmlText, incident: &Incident) {
    let reasons = view::reasons(incident);
    page.markup("<h2>Why</h2>\n<table><tr><th>Kind<th>Seen<th>Usual<th>Score<th>Runbook</tr>\n");
    for reason in &reasons {
        page.markup("<tr><td>").text(&reason.family).markup("<td>").text(&reason.observed);
        page.markup("<td>").text(&reason.expected).markup("<td>").text(&format!("{:+.1}", reason.score));
        page.markup("<td>");
        match runbooks::name(&reason.runbook) {
            Some(name) => page.link(&format!("../runbooks/{name}"), name),
            None if reason.runbook.contains("://") => page.link(&reason.runbook, &reason.runbook),
            None => page.text(&reason.runbook),
        };
        page.markup("</tr>\n");
    }
    page.markup("</table>\n<p>").text(&view::total(incident, &reasons)).markup("</p>\n");
}

fn seen(page: &mut HtmlText, incident: &Incident) {
    if incident.evidence.samples.is_empty() {
        return;
    }
    page.markup("<h2>Seen</h2>\n<table><tr><th>At<th>Request<th>Status<th>Network<th>Client<th>Agent<th>Record</tr>\n");
    for sample in &incident.evidence.samples {
        let status = sample.status.map_or("-".to_owned(), |status| status.to_string());
        page.markup("<tr><td>").text(&sample.at).markup("<td><code>").text(&sample.method).markup(" ");
        page.text(&sample.route).markup("</code><td>").text(&status).markup("<td>");
        page.text(&sample.network).markup(" ").text(&sample.country).markup("<td>").text(&sample.prefix);
        page.markup("<td>").text(&sample.agent).markup("<td><code>").text(&sample.position);
        page.markup("</code></tr>\n");
    }
    page.markup("</table>\n");
}

fn list(page: &mut HtmlText, head: &'static str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    page.markup(head).markup("<ul>\n");
    for text in texts {
        page.markup("<li>").text(text).markup("</li>\n");
    }
    page.markup("</ul>\n");
}

fn to_do(page: &mut HtmlText, view: &View<'_>, links: &PageLinks) {
    page.markup("<h2>Do</h2>\n");
    let subject = &view.incident.subject;
    if !subject.owner.is_empty() || !subject.contact.is_empty() {
        page.markup("<p>Ask the owner: ").text(&subject.owner).markup(" ").text(&subject.contact);
        page.markup("</p>\n");
    }
    for command in view::to_do(view.incident) {
        page.markup("<pre>").text(&command).markup("</pre>\n");
    }
    let dashboard = links.dashboard(view.incident, view.now);
    if !links.is_own(&dashboard) {
        page.markup("<p>").link(&dashboard, "Dashboard").markup("</p>\n");
    }
    page.markup("<pre>keyhound incidents show ").text(&view.incident.id.0).markup("</pre>\n");
}
