//! What decoding one record costs, from bytes to a typed request, and what serde_json alone would cost.
//!
//! `cargo bench --bench decode`. The figures are in `docs/decisions`.

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyhound::decode::{Decoder, Format, KeyPolicy, Pepper, Settings};

const NGINX: &str = r#"{"time":"2026-11-22T06:07:40+00:00","msec":"1795327660.839","remote_addr":"203.0.113.7","xff":"198.51.100.9, 203.0.113.7","api_key":"sk_live_4eC39HqLyjWDarjtT1zdp7dc","method":"GET","uri":"/v1/orders/42?x=1","status":"200","bytes_sent":165,"body_bytes_sent":11,"request_length":150,"request_time":0.013,"upstream_response_time":"0.007","ua":"acme-sdk/4.2 python/3.12","request_id":"fc9b1c0de8f04a7c"}"#;
const ENVOY: &str = r#"{"api_key":"sk_live_4eC39HqLyjWDarjtT1zdp7dc","authority":"api.acme.io","bytes_received":0,"bytes_sent":11,"downstream_direct_remote_address":"127.0.0.1:55082","downstream_remote_address":"203.0.113.7:0","duration":16,"method":"GET","path":"/v1/orders/42?x=1","protocol":"HTTP/1.1","request_id":"9ffd","response_code":200,"response_code_details":"via_upstream","response_flags":"-","route_name":"orders-route","start_time":"2026-11-22T06:07:02.314Z","upstream_service_time":"3","user_agent":"sdk/1.2","x_forwarded_for":"203.0.113.7,192.0.2.2"}"#;
const KONG: &str = r#"{"client_ip":"203.0.113.7","started_at":1795327660839,"latencies":{"kong":2,"proxy":31,"request":33,"receive":0},"request":{"id":"9f21","method":"GET","uri":"/v1/orders/42?x=1","url":"https://api.acme.io:8443/v1/orders/42?x=1","querystring":{"x":"1"},"size":150,"headers":{"user-agent":"sdk/1.2","apikey":"sk_live_4eC39HqLyjWDarjtT1zdp7dc"}},"response":{"status":200,"size":512,"headers":{}},"upstream_uri":"/orders/42","upstream_status":"200","route":{"id":"r1","name":"orders"},"service":{"id":"s1","name":"orders"},"consumer":{"id":"c1","username":"acme"},"authenticated_entity":{"id":"cred1","consumer_id":"c1"},"source":"upstream","workspace_name":"default"}"#;

fn decode(criterion: &mut Criterion) {
    let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
    let mut group = criterion.benchmark_group("decode");
    for (name, record) in [("nginx", NGINX), ("envoy", ENVOY), ("kong", KONG)] {
        group.throughput(Throughput::Bytes(record.len() as u64));
        let format = Format::preset(name).expect("a preset");
        let mut decoder =
            Decoder::new(&Settings::new(format, KeyPolicy::Raw), &pepper).expect("a valid preset");
        let mut arena = Bump::with_capacity(1 << 16);
        let mut records = 0_u32;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                records += 1;
                if records.is_multiple_of(256) {
                    arena.reset();
                }
                decoder.decode(black_box(record.as_bytes()), &arena, |decoded| {
                    black_box(&decoded);
                });
            });
        });
        group.bench_function(format!("{name}, skipped by serde_json"), |bencher| {
            bencher.iter(|| {
                let text = std::str::from_utf8(black_box(record.as_bytes())).expect("UTF-8");
                serde_json::from_str::<serde::de::IgnoredAny>(text).expect("JSON")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
