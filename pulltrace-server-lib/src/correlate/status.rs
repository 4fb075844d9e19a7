//! The status of one pod on the wire, with the time left and a summary in one sentence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1;
use pulltrace_core::{Pull, PullId, WaitingKind};

use crate::change::{Correction, ImageState, ImageView, PodView};
use crate::cluster::ImageConsumerKind;

/// One image of the pod, with its pull.
struct ImageProgress<'a> {
    image: &'a ImageView,
    pull: Option<Arc<Pull>>,
    /// The clock correction of the pull's node.
    correction: Correction,
    /// The time until the image is present, or `None` if unknown.
    left: Option<Duration>,
}

/// Returns the status of a pod. `pull` returns a pull and the clock correction of its node.
#[must_use]
pub fn pod_status(
    view: &PodView,
    pull: impl Fn(&PullId) -> Option<(Arc<Pull>, Correction)>,
) -> v1::PodStatus {
    let progress = |image| ImageProgress::new(image, &pull);
    let mut images: Vec<ImageProgress<'_>> = view.images.iter().map(progress).collect();
    let rate = images.iter().find_map(|image| image.pull.as_ref()?.motion.rate);
    for image in &mut images {
        image.left = time_left(image.image, image.pull.as_deref(), rate.map(|rate| rate.get()));
    }
    // Containers that wait for the same pull wait at the same time.
    let mut counted: BTreeSet<&PullId> = BTreeSet::new();
    let mut sum = Some(Duration::ZERO);
    let mut least = Duration::ZERO;
    for ImageProgress { image, left, .. } in &images {
        let is_new = image.pull.as_ref().is_none_or(|id| counted.insert(id));
        if is_new && image.state != ImageState::Present {
            sum = sum.zip(*left).map(|(sum, left)| sum.saturating_add(left));
            least = least.saturating_add(left.unwrap_or_default());
        }
    }
    let waits_for_moving = |waiting: &Pull| {
        let ahead = waiting.waiting_on.as_ref().and_then(|waiting| waiting.pull.as_ref());
        ahead.and_then(&pull).is_some_and(|(ahead, _)| is_moving(&ahead))
    };
    let is_active =
        |pull: &Arc<Pull>| pull.outcome().is_none() && (is_moving(pull) || waits_for_moving(pull));
    let ready = view.is_ready();
    let least = (least > Duration::ZERO).then_some(least);
    v1::PodStatus {
        namespace: view.pod.namespace.to_string(),
        pod_name: view.pod.name.to_string(),
        uid: view.pod.uid.to_string(),
        node_name: view.node.to_string(),
        ready,
        moving: images.iter().filter_map(|image| image.pull.as_ref()).any(is_active),
        summary: summary(&images, sum),
        eta_seconds: sum.filter(|_| !ready).map(seconds),
        eta_low_seconds: least.filter(|_| !ready).map(seconds),
        images: images.iter().map(ImageProgress::status).collect(),
    }
}

/// Rounds to one decimal.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// Reports whether a pull makes progress.
fn is_moving(pull: &Pull) -> bool {
    let waits_outside = pull.waiting_on.as_ref().is_some_and(|waiting| {
        matches!(waiting.kind, WaitingKind::Registry | WaitingKind::KubeletQueue)
    });
    pull.outcome().is_none()
        && pull.stalled_since.is_none()
        && pull.stale_since.is_none()
        && !waits_outside
}

/// Returns the time until an image is present, or `None` if unknown.
fn time_left(image: &ImageView, pull: Option<&Pull>, rate: Option<f64>) -> Option<Duration> {
    let own_time = || {
        let (size, rate) = (image.size?, rate?);
        Duration::try_from_secs_f64(size.as_f64() / rate).ok()
    };
    match image.state {
        ImageState::Present => Some(Duration::ZERO),
        ImageState::Pulling => pull?.motion.eta.map(|eta| eta.left),
        ImageState::Queued => {
            let before = pull?.waiting_on.as_ref()?.left?;
            Some(before.saturating_add(own_time()?))
        }
        ImageState::Pending => own_time(),
        ImageState::Failed => None,
    }
}

impl<'a> ImageProgress<'a> {
    fn new(
        image: &'a ImageView,
        find: impl Fn(&PullId) -> Option<(Arc<Pull>, Correction)>,
    ) -> Self {
        let (pull, correction) = image.pull.as_ref().and_then(find).unzip();
        Self { image, pull, correction: correction.unwrap_or_default(), left: None }
    }

    fn is_open(&self) -> bool {
        self.image.state != ImageState::Present
    }

    fn status(&self) -> v1::PodImage {
        let image = self.image;
        let failure = image.failure.as_ref().map(|failure| {
            let mut failure = v1::Failure::from(failure);
            failure.next_retry_at = image.next_retry_at.map(|at| self.correction.apply(at));
            failure
        });
        v1::PodImage {
            container: image.name.to_string(),
            kind: match image.kind {
                ImageConsumerKind::Volume => v1::SlotKind::Volume,
                ImageConsumerKind::Init => v1::SlotKind::Init,
                ImageConsumerKind::Sidecar => v1::SlotKind::Sidecar,
                ImageConsumerKind::Container => v1::SlotKind::Container,
                ImageConsumerKind::Ephemeral => v1::SlotKind::Ephemeral,
            },
            image: image.image.to_string(),
            state: match image.state {
                ImageState::Failed => v1::ImageState::Failed,
                ImageState::Pending => v1::ImageState::Pending,
                ImageState::Queued => v1::ImageState::Queued,
                ImageState::Pulling => v1::ImageState::Pulling,
                ImageState::Present => v1::ImageState::Present,
            },
            pull: image.pull.as_ref().map(ToString::to_string),
            attempt: image.attempt,
            waiting_reason: image.reason.as_deref().map(str::to_owned),
            failure,
            eta_seconds: self.left.filter(|_| self.is_open()).map(seconds),
        }
    }

    /// Describes an image that is not present.
    fn detail(&self) -> String {
        let image = self.image;
        match (image.state, self.pull.as_deref()) {
            (ImageState::Failed, _) => {
                let why = image.failure.as_ref().map_or("unexplained", |f| f.reason.as_str());
                let attempts = image.attempt.filter(|attempt| *attempt > 1);
                let attempts = attempts.map(|count| format!(", {count} attempts"));
                format!("cannot be pulled: {why}{}", attempts.unwrap_or_default())
            }
            (ImageState::Pending, _) => "is not requested yet".to_owned(),
            (ImageState::Queued, Some(pull)) => {
                match pull.waiting_on.as_ref().and_then(|waiting| waiting.ahead) {
                    Some(1) => "is queued behind 1 pull".to_owned(),
                    Some(ahead @ 2..) => format!("is queued behind {ahead} pulls"),
                    Some(0) | None => "is queued".to_owned(),
                }
            }
            (ImageState::Queued, None) => "was just announced".to_owned(),
            (ImageState::Pulling | ImageState::Present, Some(pull)) => {
                let percent =
                    pull.motion.percent.map(|one| format!(", {:.0} %", one.get().floor()));
                let note = if pull.stale_since.is_some() {
                    " (its node is not reporting)"
                } else if pull.stalled_since.is_some() {
                    " (stalled)"
                } else {
                    ""
                };
                format!("is {}{}{note}", pull.phase, percent.unwrap_or_default())
            }
            (ImageState::Pulling | ImageState::Present, None) => "is being pulled".to_owned(),
        }
    }
}

/// Summarises the state of a pod in one sentence.
fn summary(images: &[ImageProgress<'_>], left: Option<Duration>) -> String {
    let all = images.len();
    let open: Vec<&ImageProgress<'_>> = images.iter().filter(|image| image.is_open()).collect();
    // The image that is furthest along is the one the kubelet works on; a failure blocks all
    // others.
    let failed = open.iter().find(|one| one.image.state == ImageState::Failed);
    let nearest = open.iter().max_by_key(|one| one.image.state);
    let Some(current) = failed.or(nearest) else {
        return if all == 1 {
            "its image is present".to_owned()
        } else {
            format!("all {all} images are present")
        };
    };
    let total = if all == 1 { "1 image".to_owned() } else { format!("{all} images") };
    let count = if open.len() == all { total } else { format!("{} of {total}", open.len()) };
    let left = left.map(|left| format!("; about {} s left", left.as_secs().max(1)));
    let detail = current.detail();
    format!("waits for {count}: {} {detail}{}", current.image.image, left.unwrap_or_default())
}
