//! `wstap replay`: any file through the capture reader, the stream machine, the pairing, the diagnosis and both
//! output formats.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstap::handshake::Limits;
use wstap::judge::Judge;
use wstap::replay;
use wstap::sink::render::Format;

fuzz_target!(|data: &[u8]| {
    let mut judge = Judge::default();
    let mut write = |judged: wstap::judge::Judged| {
        let mut line = Vec::new();
        let written = Format::Json.write(&judged.event, &mut line);
        assert!(written.is_ok() && serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        let mut text = Vec::new();
        let written = Format::Text { colour: false, width: None }.write(&judged.event, &mut text);
        assert!(written.is_ok());
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    };
    replay::run_reader("fuzz", data, Limits::default(), &mut |observation| {
        judge.observe(observation, &mut write);
    });
    judge.finish(&mut write);
});
