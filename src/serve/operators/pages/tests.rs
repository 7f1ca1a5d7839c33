//! Tests of the pages through the real router: what stands in them, and who may read them.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower::ServiceExt;

use super::super::{
    Access,
    tests::{daemon_of, links},
};
use crate::{
    deliver::alertmanager::LinkSigner,
    incident::{Incident, testing::stolen},
    serve::table::tests::NOW,
};

const TOKEN: &str = "0123456789abcdef";

/// A router whose pages ask for a token, and the path of an incident's signed link.
fn guarded(incident: Incident) -> (Router, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    let links = links(Some(LinkSigner::new([5; 16])));
    let signed = links.incident(&incident.id, NOW).replace("http://10.0.0.1:9464", "");
    let daemon = daemon_of(Ok(Vec::new()), Access::token_file(file.path()).unwrap(), links);
    daemon.board.take_incident(incident);
    (daemon.router, signed)
}

fn open(incident: Incident) -> Router {
    let daemon = daemon_of(Ok(Vec::new()), Access::local(Vec::new()), links(None));
    daemon.board.take_incident(incident);
    daemon.router
}

async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

const LOCAL: &[(&str, &str)] = &[("host", "localhost:9464")];

#[tokio::test]
async fn an_incident_is_a_page_that_needs_no_script() {
    let (status, headers, page) = get(&open(stolen()), "/incidents/inc_7q4m", LOCAL).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    for words in [
        "STOLEN KEY, likely",
        "acme / billing-prod",
        "214 requests in 21 s",
        "usual 13",
        "203.0.113.0/24",
        "same agent (acme-sdk/4.2)",
        "03:11:40 throttle",
        "keyhound decisions revoke kf1_9c410000000000000000000000ade07b",
        "payments-oncall #payments",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn a_hostile_text_is_shown_and_does_nothing() {
    const HOSTILE: &str = "</td><script>alert(1)</script>\u{1b}[31m\u{202e}\"onload='x'";
    let mut incident = stolen();
    incident.subject.name = HOSTILE.to_owned();
    incident.subject.owner = HOSTILE.to_owned();
    incident.subject.contact = HOSTILE.to_owned();
    incident.verdict = HOSTILE.to_owned();
    incident.doubts = vec![HOSTILE.to_owned()];
    incident.reasons[0].observed = HOSTILE.to_owned();
    incident.reasons[0].runbook = format!("javascript:alert(1)//{HOSTILE}.md");
    incident.evidence.samples[0].agent = HOSTILE.to_owned();
    incident.evidence.samples[0].route = HOSTILE.to_owned();
    let router = open(incident);
    for path in ["/incidents/inc_7q4m", "/incidents"] {
        let (status, headers, page) = get(&router, path, LOCAL).await;
        assert_eq!(status, 200);
        for mark in ["<script", "\u{1b}", "\u{202e}", "</td>", "href=\"javascript", "\"onload"] {
            assert!(!page.contains(mark), "{mark:?} in {page}");
        }
        assert!(page.contains("&lt;script&gt;"), "{page}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn the_link_of_an_alert_opens_its_page_and_nothing_else() {
    let (router, signed) = guarded(stolen());
    assert_eq!(get(&router, &signed, &[]).await.0, 200);
    let query = signed.split_once('?').unwrap().1;
    for path in [
        "/incidents/inc_7q4m".to_owned(),
        format!("/incidents/inc_1?{query}"),
        format!("/incidents?{query}"),
        format!("/incidents/?{query}"),
        signed.replace("signature=", "signature=0"),
        signed.replace("expires=", "expires=9"),
        format!("/api/v1/incidents/inc_7q4m?{query}"),
        format!("/api/v1/incidents?{query}"),
    ] {
        let (status, ..) = get(&router, &path, &[]).await;
        assert!(matches!(status, 401 | 404), "{path}: {status}");
    }
    let post = Request::builder().method("POST").uri(&signed).body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(post).await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_browser_is_asked_for_the_token_and_may_read_pages_with_it_only() {
    let (router, _) = guarded(stolen());
    let (status, headers, page) = get(&router, "/incidents", &[]).await;
    assert_eq!(
        (status, headers["www-authenticate"].to_str().unwrap()),
        (401, "Basic realm=\"keyhound\", charset=\"UTF-8\"")
    );
    assert!(page.contains("as password") && !page.contains("billing-prod"), "{page}");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let right = basic(&format!("jane:{TOKEN}"));
    assert_eq!(get(&router, "/incidents", &[("authorization", &right)]).await.0, 200);
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(get(&router, "/incidents/inc_7q4m", &[("authorization", &bearer)]).await.0, 200);
    for wrong in [
        basic(TOKEN),
        basic("jane:"),
        basic(&format!("{TOKEN}:")),
        "Basic ####".to_owned(),
        "Basic".to_owned(),
    ] {
        assert_eq!(get(&router, "/incidents", &[("authorization", &wrong)]).await.0, 401, "{wrong}");
    }
    // What a browser remembers must not command.
    assert_eq!(get(&router, "/api/v1/incidents", &[("authorization", &right)]).await.0, 401);
}

#[tokio::test]
async fn a_foreign_name_of_the_host_opens_no_page() {
    let (status, ..) = get(&open(stolen()), "/incidents", &[("host", "evil.example")]).await;
    assert_eq!(status, 421);
}

#[tokio::test]
async fn index_and_runbooks_are_open_and_what_is_missing_is_said() {
    let (router, _) = guarded(stolen());
    for path in ["/", "/runbooks", "/runbooks/key-cost", "/runbooks/daemon"] {
        let (status, headers, _) = get(&router, path, &[]).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
    }
    let (status, _, page) = get(&router, "/runbooks/nothing", &[]).await;
    assert_eq!(status, 404);
    assert!(page.contains("no runbook of this name"), "{page}");
    assert_eq!(get(&open(stolen()), "/incidents/inc_9", LOCAL).await.0, 404);
}
