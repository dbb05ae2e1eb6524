//! Without a runtime: what is made of its answers. A real containerd is asked in tests/live/pods.rs.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    Container, ContainerMetadata, LABEL_CHARS, Name, Names, PodSandbox, PodSandboxMetadata, RUNNING,
};
use crate::{enrich::Counters, event::Workload};

fn container(state: i32) -> Container {
    let metadata = Some(ContainerMetadata { name: "node".into() });
    Container { id: "0b8a".into(), metadata, state, ..Container::default() }
}

fn pod() -> PodSandbox {
    let metadata = PodSandboxMetadata {
        name: "chat-6d4cf56db6-x7k2p".into(),
        namespace: "shop".into(),
        ..PodSandboxMetadata::default()
    };
    let labels = [
        ("pod-template-hash", "6d4cf56db6".to_owned()),
        ("team", "comms".to_owned()),
        ("note", "n".repeat(1000)),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    PodSandbox { metadata: Some(metadata), labels: labels.into(), ..PodSandbox::default() }
}

#[test]
fn a_container_has_its_pods_name_owner_and_the_labels_that_were_asked_for() {
    let wanted = ["team", "note", "absent"].map(str::to_owned);
    let name = Name::new(container(RUNNING), &pod(), &wanted).unwrap();
    assert_eq!(name.container, "node");
    assert_eq!(name.pod.as_deref(), Some("chat-6d4cf56db6-x7k2p"));
    assert_eq!(name.namespace.as_deref(), Some("shop"));
    assert_eq!(name.workload.as_deref(), Some("chat"));
    let labels = [("team", "comms".to_owned()), ("note", "n".repeat(LABEL_CHARS))];
    assert_eq!(name.labels, BTreeMap::from(labels.map(|(key, value)| (key.to_owned(), value))));
}

#[test]
fn a_workload_is_there_while_a_container_of_it_runs() {
    let names = Names::start("/nowhere".into(), Vec::new(), Arc::default()).unwrap();
    let workload = |name: &str| Workload { namespace: "shop".to_owned(), name: name.to_owned() };
    let now_known = |state| {
        let name = Name::new(container(state), &pod(), &[]).unwrap();
        names.known.write().unwrap().insert("0b8a".to_owned(), name);
    };
    assert!(!names.runs(&workload("chat")));
    now_known(RUNNING);
    assert!(names.runs(&workload("chat")) && !names.runs(&workload("chat-6d4cf56db6")));
    // It has its name for its last events, and is gone.
    now_known(RUNNING + 1);
    assert!(!names.runs(&workload("chat")) && names.known("0b8a").is_some());
}

#[test]
fn without_a_runtime_nothing_is_named_and_the_error_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let socket = folder.path().join("none.sock");
    let names = Names::start(socket, Vec::new(), Arc::clone(&counters)).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while counters.runtime_errors.load(Relaxed) == 0 {
        assert_eq!(names.get("0b8a"), None);
        assert!(Instant::now() < end, "no error is counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}
