//! A real containerd of the test's own, whose pods are made through its CRI socket as the kubelet makes them.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use wstap_tests::process::Process;
use wstap_tests::{wait_for, workspace};

/// One image, under the name of the test's containers and of the one that only holds a pod's namespaces.
const IMAGE: &str = "localhost/wstap-test:1";
const SANDBOX: &str = "localhost/wstap-pause:1";
/// The host's programs, seen in every container.
const HOST: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"];

/// A running containerd; its pods end with it.
pub(crate) struct Containerd {
    folder: PathBuf,
    channel: Channel,
    runtime: tokio::runtime::Runtime,
    pods: Vec<String>,
    _process: Process,
}

/// A pod with one container.
pub(crate) struct Pod {
    pub(crate) container: String,
    pub(crate) address: IpAddr,
    id: String,
}

impl Containerd {
    /// Starts it in a folder that may be mounted in; its socket's path has to be short.
    pub(crate) fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join("wstap-live-containerd");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("cni"))?;
        let place = folder.display();
        let network = format!(
            r#"{{"cniVersion": "0.4.0", "name": "wstap-test", "plugins": [{{"type": "ptp", "ipam":
                {{"type": "host-local", "subnet": "198.51.100.0/24", "dataDir": "{place}/ipam"}}}}]}}"#
        );
        fs::write(folder.join("cni/wstap.conflist"), network)?;
        let config = format!(
            r#"
            version = 2
            root = "{place}/root"
            state = "{place}/state"
            grpc.address = "{place}/containerd.sock"
            [plugins."io.containerd.grpc.v1.cri"]
            sandbox_image = "{SANDBOX}"
            containerd.snapshotter = "native"
            # Without CAP_SYS_RESOURCE the score cannot be lowered.
            restrict_oom_score_adj = true
            cni.bin_dir = "/usr/lib/cni"
            cni.conf_dir = "{place}/cni"
            "#
        );
        fs::write(folder.join("config.toml"), config)?;
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("config.toml"));
        let process = Process::start("containerd", &mut command, &folder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let socket = Endpoint::try_from(format!("unix://{place}/containerd.sock"))?;
        let channel = wait_for("containerd", || Ok(runtime.block_on(socket.connect()).ok()))
            .with_context(|| process.log())?;
        let this = Self { folder, channel, runtime, pods: Vec::new(), _process: process };
        this.import_image()?;
        Ok(this)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    /// An image of busybox and empty folders to mount the host's into.
    fn import_image(&self) -> Result<()> {
        let folder = self.folder.join("image");
        fs::create_dir_all(folder.join("pause"))?;
        fs::copy("/bin/busybox", folder.join("pause/busybox"))?;
        run(Command::new("tar").current_dir(&folder).args(["cf", "layer.tar", "pause"]))?;
        let sum = run(Command::new("sha256sum").current_dir(&folder).arg("layer.tar"))?;
        let digest = sum.split(' ').next().unwrap_or_default();
        let config = format!(
            r#"{{"architecture": "amd64", "os": "linux",
                "config": {{"Cmd": ["/pause/busybox", "sleep", "600"]}},
                "rootfs": {{"type": "layers", "diff_ids": ["sha256:{digest}"]}}}}"#
        );
        fs::write(folder.join("config.json"), config)?;
        let manifest = format!(
            r#"[{{"Config": "config.json", "RepoTags": ["{IMAGE}", "{SANDBOX}"], "Layers": ["layer.tar"]}}]"#
        );
        fs::write(folder.join("manifest.json"), manifest)?;
        let files = ["manifest.json", "config.json", "layer.tar"];
        run(Command::new("tar").current_dir(&folder).args(["cf", "image.tar"]).args(files))?;
        run(Command::new("ctr")
            .arg("-a")
            .arg(self.socket())
            .args(["-n", "k8s.io", "images", "import", "--snapshotter", "native"])
            .arg(folder.join("image.tar")))?;
        Ok(())
    }

    fn call<Question, Answer>(&self, method: &str, question: Question) -> Result<Answer>
    where
        Question: Message + Default + 'static,
        Answer: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
        let answer = self.runtime.block_on(async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.map_err(|error| tonic::Status::from_error(error.into()))?;
            let codec = ProstCodec::<Question, Answer>::default();
            grpc.unary(tonic::Request::new(question), path, codec).await
        });
        Ok(answer.with_context(|| method.to_owned())?.into_inner())
    }

    /// Starts a pod in the namespace `shop` with one container, which sees the host's programs and `mounts`.
    pub(crate) fn start_pod(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        container: &str,
        command: &[&str],
        mounts: &[&Path],
    ) -> Result<Pod> {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: name.into(),
                namespace: "shop".into(),
            }),
            log_directory: self.folder.display().to_string(),
            labels: labels.iter().map(text).collect(),
            linux: Some(Empty {}),
        };
        let question = RunPodSandboxRequest { config: Some(config.clone()) };
        let pod: Id = self.call("RunPodSandbox", question)?;
        self.pods.push(pod.id.clone());
        let seen = |path: &Path, readonly| -> Result<Mount> {
            Ok(Mount {
                container_path: path.display().to_string(),
                host_path: path.canonicalize()?.display().to_string(),
                readonly,
            })
        };
        let host = HOST.iter().map(|path| seen(Path::new(path), true));
        let mounts = host.chain(mounts.iter().map(|path| seen(path, false)));
        let container = ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.into() }),
            image: Some(ImageSpec { image: IMAGE.into() }),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            envs: vec![KeyValue {
                key: "NODE_PATH".into(),
                value: workspace().join("target/node/node_modules").display().to_string(),
            }],
            mounts: mounts.collect::<Result<_>>()?,
            log_path: format!("{name}.log"),
        };
        let question = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(container),
            sandbox_config: Some(config),
        };
        let container: Id = self.call("CreateContainer", question)?;
        let _: Empty = self.call("StartContainer", container.clone())?;
        let status: PodSandboxStatusResponse = self.call("PodSandboxStatus", pod.clone())?;
        let network = status.status.and_then(|status| status.network).context("a network")?;
        Ok(Pod { container: container.id, address: network.ip.parse()?, id: pod.id })
    }

    /// Ends a pod and removes it.
    pub(crate) fn remove_pod(&mut self, pod: &Pod) -> Result<()> {
        self.pods.retain(|id| *id != pod.id);
        let _: Empty = self.call("StopPodSandbox", Id { id: pod.id.clone() })?;
        let _: Empty = self.call("RemovePodSandbox", Id { id: pod.id.clone() })?;
        Ok(())
    }

    /// What a pod's container printed.
    pub(crate) fn log(&self, pod: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{pod}.log"))).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.pods) {
            let _stopped: Result<Empty> = self.call("StopPodSandbox", Id { id: id.clone() });
            let _removed: Result<Empty> = self.call("RemovePodSandbox", Id { id });
        }
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

// What it takes of the CRI, v1, to start a pod.

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// The answers and questions whose only field is an id.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(string, tag = "3")]
    log_directory: String,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<Empty>,
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
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    envs: Vec<KeyValue>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(string, tag = "11")]
    log_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
    #[prost(bool, tag = "3")]
    readonly: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<PodSandboxStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxStatus {
    #[prost(message, optional, tag = "5")]
    network: Option<PodSandboxNetworkStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxNetworkStatus {
    #[prost(string, tag = "1")]
    ip: String,
}
