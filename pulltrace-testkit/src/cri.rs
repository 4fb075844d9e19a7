//! A CRI client that pulls and removes images the way the kubelet does.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::rpc::{CallError, Channel};

/// The longest that a pull in a test may take.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(120);

/// A client of containerd's CRI. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cri {
    channel: Channel,
}

/// An image as listed by CRI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriImage {
    /// The digest of the config.
    pub id: String,
    /// References by tag.
    pub tags: Vec<String>,
    /// References by root digest.
    pub digests: Vec<String>,
    /// The size in bytes.
    pub size: u64,
}

impl Cri {
    /// Creates a client for the containerd behind `socket`. It connects on the first call.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        Self { channel: Channel::connect(socket) }
    }

    /// Starts to pull `reference`. Like the kubelet's, the call has no deadline.
    pub fn pull(&self, reference: &str) -> Pull {
        let channel = self.channel.clone();
        let request = PullImageRequest { image: image_spec(reference) };
        let task = tokio::spawn(async move {
            let answer: PullImageResponse =
                channel.call("/runtime.v1.ImageService/PullImage", request).await?;
            Ok(answer.image_ref)
        });
        Pull { reference: reference.to_owned(), task }
    }

    /// Removes an image: a single name, or all of its names when given [`CriImage::id`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove(&self, reference: &str) -> Result<(), CallError> {
        let request = ImageRequest { image: image_spec(reference) };
        self.channel
            .call("/runtime.v1.ImageService/RemoveImage", request)
            .await
            .map(|crate::rpc::Empty {}| ())
    }

    /// Lists all images.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn images(&self) -> Result<Vec<CriImage>, CallError> {
        let answer: ListImagesResponse =
            self.channel.call("/runtime.v1.ImageService/ListImages", crate::rpc::Empty {}).await?;
        Ok(answer.images.into_iter().map(CriImage::from).collect())
    }

    /// Looks up an image by name; `None` if it does not exist.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn image(&self, reference: &str) -> Result<Option<CriImage>, CallError> {
        let request = ImageRequest { image: image_spec(reference) };
        let answer: ImageStatusResponse =
            self.channel.call("/runtime.v1.ImageService/ImageStatus", request).await?;
        Ok(answer.image.map(CriImage::from))
    }
}

/// Pod sandboxes; [`crate::containerd::Containerd::run_sandbox`] starts one.
impl Cri {
    pub(crate) async fn run_sandbox(&self, name: &str, cgroup: &str) -> Result<String, CallError> {
        let security_context = SandboxSecurityContext {
            namespaces: Some(NamespaceOption { network: NAMESPACE_MODE_NODE }),
        };
        let request = RunPodSandboxRequest {
            config: Some(PodSandboxConfig {
                metadata: Some(PodSandboxMetadata {
                    name: name.to_owned(),
                    uid: format!("uid-of-{name}"),
                    namespace: "default".to_owned(),
                    attempt: 0,
                }),
                linux: Some(LinuxSandboxConfig {
                    cgroup_parent: cgroup.to_owned(),
                    security_context: Some(security_context),
                }),
            }),
        };
        let answer: SandboxId =
            self.channel.call("/runtime.v1.RuntimeService/RunPodSandbox", request).await?;
        Ok(answer.id)
    }

    /// Stops and removes a sandbox.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CallError> {
        let request = SandboxId { id: id.to_owned() };
        let crate::rpc::Empty {} =
            self.channel.call("/runtime.v1.RuntimeService/StopPodSandbox", request.clone()).await?;
        let crate::rpc::Empty {} =
            self.channel.call("/runtime.v1.RuntimeService/RemovePodSandbox", request).await?;
        Ok(())
    }
}

/// A running pull. Dropping it does not stop the pull; [`Pull::cancel`] does.
#[derive(Debug)]
#[must_use = "a test should check the outcome of a pull"]
pub struct Pull {
    reference: String,
    task: JoinHandle<Result<String, CallError>>,
}

impl Pull {
    /// The image reference.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Reports whether the pull has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits up to two minutes for the pull to end and returns the image's id.
    ///
    /// # Errors
    /// [`CallError`] with containerd's own text.
    ///
    /// # Panics
    /// When the pull does not end in time, so that a test cannot hang.
    pub async fn outcome(self) -> Result<String, CallError> {
        self.outcome_within(OUTCOME_TIMEOUT).await
    }

    /// Like [`Pull::outcome`], with another deadline.
    ///
    /// # Errors
    /// [`CallError`] with containerd's own text.
    ///
    /// # Panics
    /// When the pull does not end in time.
    pub async fn outcome_within(self, deadline: Duration) -> Result<String, CallError> {
        let Self { reference, task } = self;
        let ended = tokio::time::timeout(deadline, task).await;
        ended
            .unwrap_or_else(|_| panic!("pull of {reference} did not end within {deadline:?}"))
            .expect("the call did not panic")
    }

    /// Cancels the call, as a stopping kubelet does. Returns `false` if it had already ended.
    ///
    /// # Panics
    /// When the task of the call panicked.
    pub async fn cancel(self) -> bool {
        self.task.abort();
        match self.task.await {
            Ok(_) => false,
            Err(error) => {
                assert!(error.is_cancelled(), "the call did not panic");
                true
            }
        }
    }
}

fn image_spec(reference: &str) -> Option<ImageSpec> {
    Some(ImageSpec { image: reference.to_owned() })
}

impl From<ImageMessage> for CriImage {
    fn from(image: ImageMessage) -> Self {
        Self { id: image.id, tags: image.repo_tags, digests: image.repo_digests, size: image.size }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageResponse {
    #[prost(string, tag = "1")]
    image_ref: String,
}

/// The request of `RemoveImage` and of `ImageStatus`.
#[derive(Clone, PartialEq, prost::Message)]
struct ImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")]
    images: Vec<ImageMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "2")]
    repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    repo_digests: Vec<String>,
    #[prost(uint64, tag = "4")]
    size: u64,
}

/// `NamespaceMode::NODE`: the host's namespace.
const NAMESPACE_MODE_NODE: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxSandboxConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LinuxSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<SandboxSecurityContext>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SandboxSecurityContext {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
}

/// The response of `RunPodSandbox` and the request of `StopPodSandbox` and `RemovePodSandbox`.
#[derive(Clone, PartialEq, prost::Message)]
struct SandboxId {
    #[prost(string, tag = "1")]
    id: String,
}
