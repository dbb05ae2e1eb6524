//! Names of containers and their pods, from the container runtime of this node.
//!
//! In: the runtime's CRI socket (Kubernetes Container Runtime Interface, v1), read on a thread of its own. Out: names
//! by container id; never waits: a container that is not known yet is asked for, and its later events are named.
//! Only the fields that are needed are decoded. Bounds: [`CONTAINERS`], [`ANSWER_BYTES`], [`PACE`].

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tonic::{
    Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{Counters, pod};
use crate::event::Workload;

/// At most so many containers have names; more are left without, and counted.
pub const CONTAINERS: usize = 8192;
/// A longer answer is an error, and counted. A node's few hundred containers take some hundred kilobytes.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// The runtime is asked at most so often, however many containers are unknown.
pub const PACE: Duration = Duration::from_secs(1);
/// The runtime is asked at least so often: what started meanwhile has its name before its first event.
const REFRESH: Duration = Duration::from_secs(20);
/// The most characters of a label's value that are kept; Kubernetes admits 63.
const LABEL_CHARS: usize = 63;
/// The state of a container that runs (`CONTAINER_RUNNING`).
const RUNNING: i32 = 1;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a container is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) container: String,
    pub(super) pod: Option<String>,
    pub(super) namespace: Option<String>,
    /// Who owns the pod.
    pub(super) workload: Option<String>,
    /// The labels that were asked for.
    pub(super) labels: BTreeMap<String, String>,
    running: bool,
}

impl Name {
    fn new(container: Container, pod: &PodSandbox, wanted: &[String]) -> Option<Self> {
        let metadata = pod.metadata.as_ref()?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let label = |key: &String| {
            let value = pod.labels.get(key).or_else(|| container.labels.get(key))?;
            Some((key.clone(), value.chars().take(LABEL_CHARS).collect()))
        };
        Some(Self {
            pod: some(&metadata.name),
            namespace: some(&metadata.namespace),
            workload: some(pod::workload(&metadata.name, &pod.labels)),
            labels: wanted.iter().filter_map(label).collect(),
            running: container.state == RUNNING,
            container: container.metadata?.name,
        })
    }
}

type Known = Arc<RwLock<HashMap<String, Name>>>;

/// The names that are known. The thread ends when the value is dropped.
#[derive(Debug)]
pub(super) struct Names {
    known: Known,
    ask: mpsc::Sender<()>,
}

impl Names {
    /// Starts to ask the runtime whose socket is at `socket`, for these of the pods' labels too.
    pub(super) fn start(
        socket: PathBuf,
        labels: Vec<String>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let known = Known::default();
        let (ask, asked) = mpsc::channel(1);
        let keep = Arc::clone(&known);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("cri".to_owned())
            .spawn(move || runtime.block_on(keep_up(&socket, &labels, &keep, asked, &counters)))?;
        Ok(Self { known, ask })
    }

    /// The name of a container; when it is not known, it is asked for.
    pub(super) fn get(&self, id: &str) -> Option<Name> {
        let known = self.known(id);
        if known.is_none() {
            // Full: it was asked for already.
            let _ = self.ask.try_send(());
        }
        known
    }

    /// The name of a container, if it is known.
    pub(super) fn known(&self, id: &str) -> Option<Name> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whether a container of this workload runs, as far as the runtime told last.
    pub(super) fn runs(&self, workload: &Workload) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().any(|name| {
            name.running
                && name.workload.as_ref() == Some(&workload.name)
                && name.namespace.as_ref() == Some(&workload.namespace)
        })
    }
}

async fn keep_up(
    socket: &Path,
    labels: &[String],
    known: &Known,
    mut asked: mpsc::Receiver<()>,
    counters: &Counters,
) {
    let channel = match Endpoint::try_from(format!("unix://{}", socket.display())) {
        Ok(endpoint) => endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect_lazy(),
        Err(error) => {
            tracing::warn!("no container names: {} is no path: {error}", socket.display());
            return;
        }
    };
    let mut healthy = true;
    loop {
        match list(&channel, labels).await {
            Ok(names) => {
                let beyond = names.len().saturating_sub(CONTAINERS) as u64;
                counters.containers_beyond.fetch_add(beyond, Relaxed);
                let names = names.into_iter().take(CONTAINERS).collect();
                *known.write().unwrap_or_else(PoisonError::into_inner) = names;
                healthy = true;
            }
            Err(status) => {
                counters.runtime_errors.fetch_add(1, Relaxed);
                if healthy {
                    tracing::warn!(
                        "no new container names: the runtime at {} does not answer: {}: check --cri-socket \
                         and its permissions",
                        socket.display(),
                        reason(&status),
                    );
                }
                healthy = false;
            }
        }
        tokio::time::sleep(PACE).await;
        if let Ok(None) = tokio::time::timeout(REFRESH, asked.recv()).await {
            return;
        }
    }
}

/// The innermost reason of an error: what the system said.
fn reason(status: &Status) -> String {
    let mut inner: &dyn std::error::Error = status;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if inner.is::<Status>() { status.message().to_owned() } else { inner.to_string() }
}

async fn list(channel: &Channel, labels: &[String]) -> Result<Vec<(String, Name)>, Status> {
    // Pods first: a container that is in the second list and not in the first is newer, and asked for again.
    let pods: ListPodSandboxResponse =
        call(channel, "/runtime.v1.RuntimeService/ListPodSandbox").await?;
    let containers: ListContainersResponse =
        call(channel, "/runtime.v1.RuntimeService/ListContainers").await?;
    let pods: HashMap<String, PodSandbox> =
        pods.items.into_iter().map(|pod| (pod.id.clone(), pod)).collect();
    Ok(containers
        .containers
        .into_iter()
        .filter_map(|container| {
            let pod = pods.get(&container.pod_sandbox_id)?;
            Some((container.id.clone(), Name::new(container, pod, labels)?))
        })
        .collect())
}

/// Calls a method whose request says nothing: no filter.
async fn call<Answer>(channel: &Channel, method: &'static str) -> Result<Answer, Status>
where
    Answer: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<(), Answer>::default();
    grpc.unary(Request::new(()), PathAndQuery::from_static(method), codec)
        .await
        .map(tonic::Response::into_inner)
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(map = "string, string", tag = "5")]
    labels: pod::Labels,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "6")]
    state: i32,
    #[prost(map = "string, string", tag = "8")]
    labels: pod::Labels,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[cfg(test)]
mod tests;
