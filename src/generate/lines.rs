//! Log lines in the forms of nginx, Kong and Envoy.
//!
//! Field by field what those programs write (the golden records of `decode` have the same shape). All texts that go
//! in are made here and need no escaping.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use super::{keys::Tenant, plan::Format, request::Request};

/// The text of a second, kept, since many lines share it.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    /// `2026-11-22T06:07:40`
    text: String,
}

impl Stamp {
    /// Date and time of a second in UTC, without a zone.
    pub(super) fn of(&mut self, second: u64) -> &str {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = crate::event::EventTime(second * 1_000).rfc3339();
            self.text.pop();
        }
        &self.text
    }
}

/// Appends the line of a request, without a line break.
pub(super) fn write(
    format: Format,
    request: &Request<'_>,
    tenant: &Tenant,
    stamp: &mut Stamp,
    out: &mut String,
) {
    // Writing to a string cannot fail.
    let _ = match format {
        Format::Nginx => nginx(request, stamp, out),
        Format::Kong => kong(request, tenant, out),
        Format::Envoy => envoy(request, tenant, stamp, out),
    };
}

fn nginx(request: &Request<'_>, stamp: &mut Stamp, out: &mut String) -> fmt::Result {
    let ms = request.time.0;
    let time = stamp.of(ms / 1_000);
    write!(
        out,
        r#"{{"time":"{time}+00:00","msec":"{}.{:03}","remote_addr":"{}","xff":"","#,
        ms / 1_000,
        ms % 1_000,
        request.address
    )?;
    write!(
        out,
        r#""api_key":"{}","method":"{}","uri":"{}","status":"{}","bytes_sent":{},"body_bytes_sent":{},"#,
        request.key.raw_key.reveal(),
        request.route.method,
        request.path,
        request.status,
        request.response_bytes + 154,
        request.response_bytes
    )?;
    let took = request.latency_us / 1_000;
    write!(
        out,
        r#""request_length":{},"request_time":{}.{:03},"upstream_response_time":""#,
        request.received_bytes,
        took / 1_000,
        took % 1_000
    )?;
    if request.by_gateway() {
        out.push('-');
    } else {
        let upstream = took.saturating_sub(1);
        write!(out, "{}.{:03}", upstream / 1_000, upstream % 1_000)?;
    }
    write!(out, r#"","ua":"{}","request_id":"{:032x}"}}"#, request.agent, u128::from(request.id) << 64 | 0x4b)
}

fn kong(request: &Request<'_>, tenant: &Tenant, out: &mut String) -> fmt::Result {
    let took = i64::from(request.latency_us / 1_000).max(2);
    let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
    let proxy = if request.by_gateway() { -1 } else { took - 1 };
    let kong = if request.by_gateway() { took } else { 1 };
    write!(
        out,
        r#"{{"client_ip":"{}","started_at":{},"latencies":{{"kong":{kong},"proxy":{proxy},"request":{took},"receive":0}},"#,
        request.address, request.time.0
    )?;
    write!(
        out,
        r#""request":{{"id":"{:032x}","method":"{}","uri":"{}","url":"https://api.{}.example:8443{}","querystring":{{"#,
        request.id, request.route.method, request.path, tenant.name, request.path
    )?;
    for (nth, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let comma = if nth > 0 { "," } else { "" };
        write!(out, r#"{comma}"{name}":"{value}""#)?;
    }
    write!(
        out,
        r#"}},"size":{},"headers":{{"user-agent":"{}","apikey":"{}"}}}},"response":{{"status":{},"size":{},"headers":{{}}}},"#,
        request.received_bytes,
        request.agent,
        request.key.raw_key.reveal(),
        request.status,
        request.response_bytes + 154
    )?;
    if !request.by_gateway() {
        write!(out, r#""upstream_uri":"{path}","upstream_status":"{}","#, request.status)?;
    }
    let service = request.route.name.split_once('-').map_or("api", |(resource, _)| resource);
    let source = if request.by_gateway() { "kong" } else { "upstream" };
    write!(
        out,
        r#""route":{{"id":"{}-{}","name":"{}"}},"service":{{"id":"{}-{service}","name":"{service}"}},"#,
        tenant.name, request.route.name, request.route.name, tenant.name
    )?;
    write!(
        out,
        r#""consumer":{{"id":"{consumer}","username":"{consumer}"}},"authenticated_entity":{{"id":"{}","consumer_id":"{consumer}"}},"source":"{source}","workspace_name":"default"}}"#,
        request.key.credential,
        consumer = request.key.consumer
    )
}

fn envoy(request: &Request<'_>, tenant: &Tenant, stamp: &mut Stamp, out: &mut String) -> fmt::Result {
    let (details, flags) = match request.status {
        429 => ("request_rate_limited", "RL"),
        401 => ("ext_authz_denied", "UAEX"),
        _ => ("via_upstream", "-"),
    };
    let port = 1_024 + request.id % 60_000;
    let peer = match request.address {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("[{v6}]:{port}"),
    };
    let took = request.latency_us / 1_000;
    write!(
        out,
        r#"{{"api_key":"{}","authority":"api.{}.example","bytes_received":{},"bytes_sent":{},"#,
        request.key.raw_key.reveal(),
        tenant.name,
        request.body_bytes(),
        request.response_bytes
    )?;
    write!(
        out,
        r#""downstream_direct_remote_address":"{peer}","downstream_remote_address":"{peer}","duration":{took},"method":"{}","path":"{}","protocol":"HTTP/1.1","#,
        request.route.method, request.path
    )?;
    write!(
        out,
        r#""request_id":"{:032x}","response_code":{},"response_code_details":"{details}","response_flags":"{flags}","route_name":"{}","#,
        request.id, request.status, request.route.name
    )?;
    let ms = request.time.0;
    write!(out, r#""start_time":"{}.{:03}Z","upstream_service_time":"#, stamp.of(ms / 1_000), ms % 1_000)?;
    if request.by_gateway() {
        out.push_str("null");
    } else {
        write!(out, r#""{}""#, took.saturating_sub(1))?;
    }
    write!(out, r#","user_agent":"{}","x_forwarded_for":null}}"#, request.agent)
}
