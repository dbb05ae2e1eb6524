//! What an event is counted under when workloads are counted.

use super::{Container, Event, Process};

/// The namespace of what is in none, as for every other label.
const NONE: &str = "none";
/// What is not known, or not yet.
pub const UNKNOWN: &str = "unknown";

/// A workload of this host: what stays when its processes and pods come and go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The pod's namespace; `none` outside of Kubernetes.
    pub namespace: String,
    /// The pod's owner, the systemd service, or the process's name.
    pub name: String,
}

impl Workload {
    /// The workload of an event's local end. `runtime_asked`: containers have names, so that one without is not known
    /// yet, and must not be counted as something else meanwhile.
    pub fn of(event: &Event, runtime_asked: bool) -> Self {
        match event {
            Event::Handshake(event) => Self::from(
                event.container.as_ref(),
                event.unit.as_ref(),
                event.process.as_ref(),
                runtime_asked,
            ),
            Event::Closure(event) => Self::from(
                event.container.as_ref(),
                event.unit.as_ref(),
                event.process.as_ref(),
                runtime_asked,
            ),
            _ => Self::unknown(),
        }
    }

    /// Not known.
    pub fn unknown() -> Self {
        Self { namespace: UNKNOWN.to_owned(), name: UNKNOWN.to_owned() }
    }

    fn from(
        container: Option<&Container>,
        unit: Option<&String>,
        process: Option<&Process>,
        runtime_asked: bool,
    ) -> Self {
        if let Some(container) = container.filter(|_| runtime_asked) {
            let Some(name) = &container.workload else { return Self::unknown() };
            let namespace = container.namespace.as_deref().unwrap_or(NONE);
            return Self { namespace: namespace.to_owned(), name: name.clone() };
        }
        let process = process.map(|process| &process.name);
        match unit.or(process) {
            Some(name) => Self { namespace: NONE.to_owned(), name: name.clone() },
            None => Self::unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Container, Event, Process, Workload};
    use crate::event::{ClosureEvent, sample};

    #[test]
    fn a_workload_is_the_pods_owner_else_the_service_else_the_process() {
        let container = |workload: Option<&str>| Container {
            id: "0b8a".to_owned(),
            namespace: workload.map(|_| "shop".to_owned()),
            workload: workload.map(str::to_owned),
            ..Container::default()
        };
        let process = Some(Process::new(7, "node".to_owned()));
        let unit = Some("chat.service".to_owned());
        for (container, unit, process, asked, want) in [
            (Some(container(Some("chat"))), None, process.clone(), true, ("shop", "chat")),
            // Not named yet: not the process's in the meantime.
            (Some(container(None)), None, process.clone(), true, ("unknown", "unknown")),
            // Never to be named.
            (Some(container(None)), None, process.clone(), false, ("none", "node")),
            (None, unit.clone(), process.clone(), true, ("none", "chat.service")),
            (None, unit, None, false, ("none", "chat.service")),
            (None, None, process, false, ("none", "node")),
            (None, None, None, true, ("unknown", "unknown")),
        ] {
            let event = ClosureEvent { process, container, unit, ..sample::closure() };
            let told = Workload::of(&Event::Closure(event), asked);
            assert_eq!((&*told.namespace, &*told.name), want);
        }
    }
}
