//! With a real containerd: two pods in network namespaces of their own.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{
    Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{ContainerMetadata, Names, PodSandboxMetadata};
use crate::{
    enrich::{Counters, Owners},
    event::{Container, Event, sample},
    handshake::{Connection, Role},
    judge::Judged,
};

const IMAGE: &str = "localhost/wstap-test:1";
const SANDBOX: &str = "localhost/wstap-pause:1";
const BUSYBOX: &str = "/bin/busybox";
const CNI: &str = "/usr/lib/cni";
const PORT: u16 = 8080;

/// Asks again until there is an answer: the other side needs a moment.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A containerd of its own; its pods end with it.
struct Containerd {
    folder: tempfile::TempDir,
    process: Child,
    channel: Channel,
    runtime: tokio::runtime::Runtime,
    pods: Vec<String>,
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("cni")).unwrap();
        let network = format!(
            r#"{{"cniVersion": "0.4.0", "name": "wstap-test", "plugins": [{{"type": "ptp", "ipam":
                {{"type": "host-local", "subnet": "198.51.100.0/24", "dataDir": "{}"}}}}]}}"#,
            path.join("ipam").display()
        );
        fs::write(path.join("cni/wstap.conflist"), network).unwrap();
        let config = format!(
            r#"
            version = 2
            root = "{0}/root"
            state = "{0}/state"
            grpc.address = "{0}/containerd.sock"
            [plugins."io.containerd.grpc.v1.cri"]
            sandbox_image = "{SANDBOX}"
            containerd.snapshotter = "native"
            # Without CAP_SYS_RESOURCE the score cannot be lowered.
            restrict_oom_score_adj = true
            cni.bin_dir = "{CNI}"
            cni.conf_dir = "{0}/cni"
            "#,
            path.display()
        );
        fs::write(path.join("config.toml"), config).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(path.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let socket = format!("unix://{}/containerd.sock", path.display());
        let channel = until("containerd does not start", || {
            runtime.block_on(Endpoint::try_from(socket.clone()).unwrap().connect()).ok()
        });
        Self { folder, process, channel, runtime, pods: Vec::new() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    /// An image that holds busybox, under both names.
    fn import_image(&self) {
        let folder = self.folder.path().join("image");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::copy(BUSYBOX, folder.join("bin/busybox")).unwrap();
        run(Command::new("tar").current_dir(&folder).args(["cf", "layer.tar", "bin"]));
        let sum = run(Command::new("sha256sum").current_dir(&folder).arg("layer.tar"));
        let digest = sum.split(' ').next().unwrap();
        let config = format!(
            r#"{{"architecture": "amd64", "os": "linux", "config": {{"Cmd": ["/bin/busybox", "sleep", "600"]}},
                "rootfs": {{"type": "layers", "diff_ids": ["sha256:{digest}"]}}}}"#
        );
        fs::write(folder.join("config.json"), config).unwrap();
        let manifest = format!(
            r#"[{{"Config": "config.json", "RepoTags": ["{IMAGE}", "{SANDBOX}"], "Layers": ["layer.tar"]}}]"#
        );
        fs::write(folder.join("manifest.json"), manifest).unwrap();
        run(Command::new("tar").current_dir(&folder).args([
            "cf",
            "image.tar",
            "manifest.json",
            "config.json",
            "layer.tar",
        ]));
        run(Command::new("ctr")
            .arg("-a")
            .arg(self.socket())
            .args(["-n", "k8s.io", "images", "import", "--snapshotter", "native"])
            .arg(folder.join("image.tar")));
    }

    fn call<Question, Answer>(&self, method: &str, question: Question) -> Result<Answer, Status>
    where
        Question: Message + Default + 'static,
        Answer: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}")).unwrap();
        self.runtime.block_on(async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.unwrap();
            let codec = ProstCodec::<Question, Answer>::default();
            grpc.unary(Request::new(question), path, codec).await.map(tonic::Response::into_inner)
        })
    }

    /// A pod with one container that serves HTTP at [`PORT`]; answers the container's id and the pod's address.
    fn start_pod(&mut self, name: &str) -> (String, IpAddr) {
        let metadata =
            PodSandboxMetadata { name: name.into(), uid: name.into(), namespace: "shop".into() };
        let config = PodSandboxConfig { metadata: Some(metadata), linux: Some(Empty {}) };
        let pod: Id = self
            .call("RunPodSandbox", RunPodSandboxRequest { config: Some(config.clone()) })
            .unwrap();
        self.pods.push(pod.id.clone());
        let command = [BUSYBOX, "httpd", "-f", "-p", "8080"].map(str::to_owned).to_vec();
        let container = ContainerConfig {
            metadata: Some(ContainerMetadata { name: format!("{name}-httpd") }),
            image: Some(ImageSpec { image: IMAGE.into() }),
            command,
        };
        let container: Id = self
            .call(
                "CreateContainer",
                CreateContainerRequest {
                    pod_sandbox_id: pod.id.clone(),
                    config: Some(container),
                    sandbox_config: Some(config),
                },
            )
            .unwrap();
        let _: Empty = self.call("StartContainer", container.clone()).unwrap();
        let status: PodSandboxStatusResponse = self.call("PodSandboxStatus", pod).unwrap();
        let ip = status.status.unwrap().network.unwrap().ip.parse().unwrap();
        until("the container does not listen", || TcpStream::connect((ip, PORT)).ok());
        (container.id, ip)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.pods) {
            let _: Result<Empty, _> = self.call("StopPodSandbox", Id { id: id.clone() });
            let _: Result<Empty, _> = self.call("RemovePodSandbox", Id { id });
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            log.lines()
                .filter(|line| line.contains("level=error"))
                .for_each(|line| eprintln!("{line}"));
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_real_runtime_names_the_containers_and_pods_on_both_ends() {
    let have = |program: &str| Path::new(program).exists();
    let root = procfs::process::Process::myself().unwrap().uid().unwrap() == 0;
    // A busybox with a loader would need its libraries in the image.
    let is_static = |program| {
        fs::read(program).is_ok_and(|bytes| !bytes.windows(8).any(|at| at == b"ld-linux"))
    };
    if !root
        || !is_static(BUSYBOX)
        || ![BUSYBOX, CNI, "/usr/bin/containerd", "/usr/sbin/runc"].into_iter().all(have)
    {
        eprintln!(
            "skipped: needs root, containerd, runc, busybox-static and containernetworking-plugins"
        );
        return;
    }
    let mut containerd = Containerd::start();
    containerd.import_image();
    let (proxy, front) = containerd.start_pod("ingress");
    let (backend, back) = containerd.start_pod("chat");

    let mut owners = Owners::new("/nowhere", Some(containerd.socket())).unwrap();
    let connection = |ip| Connection {
        cookie: 1,
        role: Role::Server,
        local: SocketAddr::new(ip, PORT),
        peer: SocketAddr::new(front, 40_000),
        cgroup: 0,
    };
    let container = |id: &str, pod: &str| Container {
        id: id.to_owned(),
        name: Some(format!("{pod}-httpd")),
        pod: Some(pod.to_owned()),
        namespace: Some("shop".to_owned()),
    };
    let (proxy, backend) = (container(&proxy, "ingress"), container(&backend, "chat"));
    let event = until("the runtime names nobody", || {
        let mut judged = Judged {
            event: Event::Handshake(sample::refused()),
            connection: connection(back),
            proxy: Some(connection(front)),
        };
        owners.name(&mut judged);
        let Event::Handshake(event) = judged.event else { return None };
        // The process and the ids are there at once; the names may come later.
        assert_eq!(event.process.as_ref().map(|process| &*process.name), Some("busybox"));
        assert_eq!(event.container.as_ref().map(|found| &found.id), Some(&backend.id));
        assert_eq!(event.proxy_container.as_ref().map(|found| &found.id), Some(&proxy.id));
        event.container.as_ref().is_some_and(|found| found.name.is_some()).then_some(event)
    });
    // The other end is the proxy: named by its address, too.
    assert_eq!(event.peer_container.as_ref(), Some(&proxy));
    assert_eq!((event.container, event.proxy_container), (Some(backend), Some(proxy)));
    assert_ne!(event.process, event.proxy);

    // A pod that starts later is named as well.
    let (late, ip) = containerd.start_pod("late");
    let named = until("the late pod has no name", || {
        let mut judged = Judged {
            event: Event::Closure(sample::closure()),
            connection: connection(ip),
            proxy: None,
        };
        owners.name(&mut judged);
        let Event::Closure(event) = judged.event else { return None };
        event.container.filter(|found| found.name.is_some())
    });
    assert_eq!(named, container(&late, "late"));
}

#[test]
fn without_a_runtime_nothing_is_named_and_the_error_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let names = Names::start(folder.path().join("none.sock"), Arc::clone(&counters)).unwrap();
    until("no error is counted", || {
        assert_eq!(names.get("0b8a"), None);
        (counters.runtime_errors.load(Relaxed) > 0).then_some(())
    });
}

// What it takes to start a pod.

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
    #[prost(message, optional, tag = "8")]
    linux: Option<Empty>,
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
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
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
