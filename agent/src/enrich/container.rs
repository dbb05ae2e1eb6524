//! What a cgroup's path tells: runtimes write a container's id into it, systemd the name of a service.
//!
//! In: a path below the cgroup root, or a process's `/proc/<pid>/cgroup`. Out: the runtime's id of the
//! innermost container, or the service outside of any. No I/O but that one file.

/// The length of a container id: SHA-256 or 32 random bytes in hexadecimal digits, in all of containerd (CRI),
/// CRI-O, Docker and podman.
const ID_LENGTH: usize = 64;

/// Where a process runs, as far as its cgroup tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The id of its container.
    pub(super) container: Option<String>,
    /// The systemd service that it is part of, outside of a container.
    pub(super) unit: Option<String>,
}

impl Place {
    /// The place of a cgroup's path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let container = id(path).map(str::to_owned);
        let unit = if container.is_none() { unit(path).map(str::to_owned) } else { None };
        (container.is_some() || unit.is_some()).then_some(Self { container, unit })
    }

    /// The place of a process: with cgroup v1 beside v2 the runtime may have moved it in any of the hierarchies.
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        Self::of_hierarchies(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
    }

    /// As [`Self::of_process`], from the text of the file: lines of `hierarchy:controllers:path`. A container in any
    /// of them counts for more than a service in another: that one may be the runtime's.
    fn of_hierarchies(text: &str) -> Option<Self> {
        let places = || text.lines().filter_map(|line| Self::of_path(line.splitn(3, ':').nth(2)?));
        places().find(|place| place.container.is_some()).or_else(|| places().next())
    }
}

/// The innermost service of systemd in a path; subfolders may follow. A user's own service manager is none: what it
/// runs outside of its services is a session, not a service.
fn unit(path: &str) -> Option<&str> {
    path.rsplit('/').find(|folder| {
        let name = folder.strip_suffix(".service");
        name.is_some_and(|name| !name.is_empty() && !name.starts_with("user@"))
    })
}

/// The id in a cgroup's path. The drivers write it in these ways, and subfolders may follow:
/// cgroupfs `<id>`, `crio-<id>`, `libpod-<id>`; systemd `docker-<id>.scope`, `cri-containerd-<id>.scope`;
/// and containerd, when the drivers of kubelet and runtime differ, `<slice>:cri-containerd:<id>`.
fn id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|folder| {
        let name = folder.strip_suffix(".scope").unwrap_or(folder);
        let (before, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
        let is_id = id.len() == ID_LENGTH
            && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // conmon watches a container and is not in it.
        (is_id && !before.ends_with("conmon")).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, id};

    const ID: &str = "0b8a6c9d1e2f30415263748596a7b8c9dae0f1021324354657687980a1b2c3d4";
    const OUTER: &str = "f00dfeed1e2f30415263748596a7b8c9dae0f1021324354657687980a1b2c3d4";

    #[test]
    fn the_id_is_found_in_the_paths_of_all_runtimes_and_drivers() {
        for path in [
            // containerd under Kubernetes: cgroupfs, systemd, and the two mixed.
            "/kubepods/burstable/pod8a1c1e3e-7f0e-4c6e-9a57-1d7a4f3b2c10/ID",
            "/kubepods/pod8a1c1e3e-7f0e-4c6e-9a57-1d7a4f3b2c10/ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8a1c1e3e_7f0e_4c6e_9a57_1d7a4f3b2c10.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-pod8a1c1e3e_7f0e_4c6e_9a57_1d7a4f3b2c10.slice/cri-containerd-ID.scope",
            "/system.slice/containerd.service/kubepods-burstable-pod8a1c1e3e_7f0e_4c6e_9a57_1d7a4f3b2c10.slice:cri-containerd:ID",
            "/k8s.io/ID",
            // The root of another cgroup namespace, seen from inside one.
            "/../../kubepods-besteffort-pod8a1c1e3e.slice/cri-containerd-ID.scope",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod8a1c.slice/cri-containerd-ID.scope",
            // CRI-O.
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod8a1c1e3e.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod8a1c1e3e.slice/crio-ID.scope/container",
            "/kubepods/besteffort/pod8a1c1e3e-7f0e-4c6e-9a57-1d7a4f3b2c10/crio-ID",
            // Docker: cgroupfs, systemd, rootless, under Kubernetes.
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-ID.scope",
            "/kubepods.slice/kubepods-pod8a1c1e3e.slice/docker-ID.scope",
            "/ecs/0a1b2c3d-89ab-cdef-0123-456789abcdef/ID",
            // systemd as a container's first process makes folders of its own.
            "/docker/ID/system.slice/nginx.service",
            "/docker/ID/init.scope",
            // podman: cgroupfs, systemd, rootless, with crun's subfolder, split by systemd (quadlet), in a pod.
            "/libpod_parent/libpod-ID",
            "/machine.slice/libpod-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "/system.slice/web.service/libpod-payload-ID",
            "/machine.slice/machine-libpod_pod_f00dfeed.slice/libpod-ID.scope",
            "/libpod_parent/OUTER/libpod-ID",
            // nerdctl.
            "/default/ID",
            "/system.slice/nerdctl-ID.scope",
            // Containers in a container: kind.
            "/docker/OUTER/kubelet/kubepods/besteffort/pod8a1c1e3e/ID",
            "/docker/OUTER/kubelet.slice/kubelet-kubepods.slice/cri-containerd-ID.scope",
            // As the mount shows it.
            "/sys/fs/cgroup/unified/docker/ID",
        ] {
            let path = path.replace("OUTER", OUTER).replace("ID", ID);
            assert_eq!(id(&path), Some(ID), "{path}");
        }
    }

    #[test]
    fn what_is_no_container_has_no_id() {
        for path in [
            "",
            "/",
            "/init.scope",
            "/system.slice/nginx.service",
            "/system.slice/containerd.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods/burstable/pod8a1c1e3e-7f0e-4c6e-9a57-1d7a4f3b2c10",
            "/machine.slice/libpod-conmon-ID.scope",
            "/kubepods.slice/kubepods-pod8a1c1e3e.slice/crio-conmon-ID.scope",
            "/system.slice/docker-0b8a6c9d1e2f.scope",
            "/lxc.payload.web",
            "/docker/0B8A6C9D1E2F30415263748596A7B8C9DAE0F1021324354657687980A1B2C3D4",
        ] {
            let path = path.replace("ID", ID);
            assert_eq!(id(&path), None, "{path}");
        }
    }

    #[test]
    fn a_service_is_named_outside_of_containers() {
        for (path, want) in [
            ("/system.slice/nginx.service", Some("nginx.service")),
            ("/system.slice/system-chat.slice/chat@eu.service", Some("chat@eu.service")),
            ("/system.slice/nginx.service/workers", Some("nginx.service")),
            ("/shop.slice/shop-front.slice/front.service", Some("front.service")),
            ("/sys/fs/cgroup/unified/system.slice/nginx.service", Some("nginx.service")),
            (r"/system.slice/dev-sda\x2d1.service", Some(r"dev-sda\x2d1.service")),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/chat.service",
                Some("chat.service"),
            ),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope", None),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/init.scope", None),
            ("/.service", None),
            ("/", None),
            ("", None),
        ] {
            let named = Place::of_path(path).and_then(|place| place.unit);
            assert_eq!(named.as_deref(), want, "{path}");
        }
        // In a container it is the container's own business, and beside one it is the runtime's.
        let inside = Place::of_path(&format!("/docker/{ID}/system.slice/nginx.service")).unwrap();
        assert_eq!((inside.container.as_deref(), inside.unit), (Some(ID), None));
    }

    #[test]
    fn every_hierarchy_of_a_process_is_looked_at() {
        let of_hierarchies = |text: &str| Place::of_hierarchies(text)?.container;
        // Docker with cgroupfs where cgroup v2 is mounted beside v1.
        let hybrid = format!(
            "12:pids:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n\
             0::/system.slice/containerd.service\n"
        );
        assert_eq!(of_hierarchies(&hybrid).as_deref(), Some(ID));
        let unified = format!("0::/system.slice/docker-{ID}.scope\n");
        assert_eq!(of_hierarchies(&unified).as_deref(), Some(ID));
        let mixed = format!("0::/a.slice:cri-containerd:{ID}\n");
        assert_eq!(of_hierarchies(&mixed).as_deref(), Some(ID));
        assert_eq!(of_hierarchies("1:name=systemd:/\n0::/init.scope\n"), None);
        assert_eq!(of_hierarchies("garbage\n"), None);
        let service = "1:name=systemd:/system.slice/chat.service\n0::/system.slice/chat.service\n";
        let unit = Place::of_hierarchies(service).and_then(|place| place.unit);
        assert_eq!(unit.as_deref(), Some("chat.service"));
        // systemd's own hierarchy alone, as where cgroup v2 holds nothing but the root.
        let only_v1 = "1:name=systemd:/system.slice/chat.service\n0::/\n";
        let unit = Place::of_hierarchies(only_v1).and_then(|place| place.unit);
        assert_eq!(unit.as_deref(), Some("chat.service"));
    }
}
