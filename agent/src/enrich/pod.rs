//! Who owns a pod, as far as the labels tell that its owner put on it.
//!
//! In: a pod's name and its labels. Out: the name of its Deployment, StatefulSet, DaemonSet, Job or CronJob; else the
//! pod's own. Nobody is asked: controllers write these labels to find their pods again, and name pods after themselves.

use std::collections::HashMap;

/// The length of the random part that the API server appends to a generated name.
const RANDOM: usize = 5;
/// A CronJob names its jobs after itself and the minute for which they were due: eight digits until 2160.
const MINUTE_DIGITS: usize = 8;

/// The labels of a pod, with those of Kubernetes itself.
pub(super) type Labels = HashMap<String, String>;

/// The name of the workload that a pod belongs to.
pub(super) fn workload<'a>(pod: &'a str, labels: &'a Labels) -> &'a str {
    let label = |key: &str| labels.get(key).map(String::as_str);
    if let Some(hash) = label("pod-template-hash") {
        return deployment(pod, hash);
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name")) {
        return cron_job(job);
    }
    if label("statefulset.kubernetes.io/pod-name").is_some()
        || label("apps.kubernetes.io/pod-index").is_some()
    {
        return before_last_dash(pod, |end| end.bytes().all(|byte| byte.is_ascii_digit()));
    }
    if label("controller-revision-hash").is_some() {
        return before_last_dash(pod, |end| end.len() == RANDOM);
    }
    pod
}

/// `<deployment>-<hash>-<random>`. A long name is cut behind 58 characters before the random part is appended.
fn deployment<'a>(pod: &'a str, hash: &str) -> &'a str {
    let Some(generated) = pod.len().checked_sub(RANDOM).and_then(|end| pod.get(..end)) else {
        return pod;
    };
    let generated = generated.strip_suffix('-').unwrap_or(generated);
    (1..=hash.len())
        .rev()
        .filter_map(|length| generated.strip_suffix(hash.get(..length)?)?.strip_suffix('-'))
        .find(|name| !name.is_empty())
        .unwrap_or(if generated.is_empty() { pod } else { generated })
}

fn cron_job(job: &str) -> &str {
    let minute =
        |end: &str| end.len() == MINUTE_DIGITS && end.bytes().all(|byte| byte.is_ascii_digit());
    before_last_dash(job, minute)
}

fn before_last_dash(name: &str, is_suffix: impl Fn(&str) -> bool) -> &str {
    match name.rsplit_once('-') {
        Some((before, end)) if !before.is_empty() && is_suffix(end) => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::{Labels, workload};

    #[test]
    fn the_owner_is_told_by_the_labels_that_it_wrote() {
        let long = "a-name-that-is-so-long-that-the-api-server-cuts-it-off-her";
        for (pod, labels, want) in [
            ("chat-6d4cf56db6-x7k2p", "pod-template-hash=6d4cf56db6 app=chat", "chat"),
            ("chat-v2-6d4cf56db6-x7k2p", "pod-template-hash=6d4cf56db6", "chat-v2"),
            ("x-6d4cf56db6-6d4cf56db6-x7k2p", "pod-template-hash=6d4cf56db6", "x-6d4cf56db6"),
            // Cut before, in and behind the hash.
            (&format!("{long}x7k2p"), "pod-template-hash=6d4cf56db6", long),
            ("a-long-deployment-6d4x7k2p", "pod-template-hash=6d4cf56db6", "a-long-deployment"),
            (
                "a-long-deployment-6d4cf56db6x7k2p",
                "pod-template-hash=6d4cf56db6",
                "a-long-deployment",
            ),
            (
                "db-0",
                "statefulset.kubernetes.io/pod-name=db-0 controller-revision-hash=db-7f",
                "db",
            ),
            ("db-12", "apps.kubernetes.io/pod-index=12", "db"),
            (
                "ingress-nginx-controller-4mzrq",
                "controller-revision-hash=5f6b",
                "ingress-nginx-controller",
            ),
            ("import-9nxkq", "job-name=import", "import"),
            ("report-29100300-9nxkq", "batch.kubernetes.io/job-name=report-29100300", "report"),
            ("report-7-9nxkq", "job-name=report-7", "report-7"),
            // No controller, or one of another kind.
            ("debug", "app=debug", "debug"),
            ("etcd-node-1", "tier=control-plane", "etcd-node-1"),
            ("rc-abcde", "app=rc", "rc-abcde"),
            // Labels that anybody may write, names that nobody expects.
            ("chat", "pod-template-hash=6d4cf56db6", "chat"),
            ("", "pod-template-hash=", ""),
            ("x7k2p", "pod-template-hash=x", "x7k2p"),
            ("-0", "apps.kubernetes.io/pod-index=0", "-0"),
            ("ü", "pod-template-hash=ü", "ü"),
        ] {
            let labels: Labels = labels
                .split(' ')
                .filter_map(|label| label.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(workload(pod, &labels), want, "{pod}");
        }
    }
}
