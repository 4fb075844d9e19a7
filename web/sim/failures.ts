// Why pulls fail, with what the server says to do, and what runtimes and kubelets write in such a case.

import type { FailureReason } from '../src/api/gen/wire';

/** The server's own sentences. */
export const HINTS: Record<FailureReason, string | undefined> = {
  not_found:
    'the registry has no such tag or digest: check the name; a private registry may also say so where it should say 401',
  unauthorized:
    "check the pod's imagePullSecrets and what they may read; Docker Hub also says so where there is no such repository",
  rate_limited:
    'the registry limits how often may be pulled: pull with an account, through a mirror, or later',
  kubelet_qps:
    'the kubelet itself holds pulls back, no registry was asked: it tries again; raise registryPullQPS and registryBurst if that is too slow',
  registry_error:
    'the registry has a fault of its own: look at its state or its logs; the kubelet tries again',
  dns: "the node cannot find the registry's address: check the host in the image's name, and the name servers of the node, not those of pods",
  connection_refused:
    'nothing takes the connection there: check that the registry or mirror runs, its port, and firewalls between it and the node',
  timeout: 'no answer in time: check the network between node and registry, and how busy both are',
  tls: "check the registry's certificate, the CAs and the clock of the node, and whether the registry speaks HTTPS at all",
  proxy: 'check HTTPS_PROXY and NO_PROXY of the runtime on the node, and what the proxy lets through',
  no_space: 'the node has no space left where the runtime stores images: free some, or give it a larger disk',
  no_matching_platform:
    "the image is not made for the node's platform: build it for that too, or choose other nodes by kubernetes.io/arch",
  digest_mismatch:
    'what came is not what the manifest says: a mirror, a proxy or the registry serves broken data; pull past it, or push the image again',
  signature: "the node's policy on signatures refused the image: sign it, or look at the policy",
  invalid_name:
    "correct the image's name in the pod: lower-case letters, at most one tag, no space, no https://",
  never_pull:
    'the image must be on the node, as imagePullPolicy is Never: load it there, or let it be pulled',
  progress_timeout:
    'no byte came for as long as the runtime waits (containerd: image_pull_progress_timeout): check the network, or raise it',
  runtime_restarted:
    'the runtime went away while it pulled: the kubelet tries again; its logs on the node say why it did',
  cancelled:
    'the runtime broke the pull off: containerd does so where no byte came for its image_pull_progress_timeout, or its caller gave up',
  unexplained: "nobody said why: the pod's events or the logs of the runtime on the node may",
  other: undefined,
};

export const REASONS = Object.keys(HINTS) as FailureReason[];

/** `library/busybox` and `registry-1.docker.io` of `docker.io/library/busybox:1.37`. */
function parts(ref: string): { host: string; path: string; tag: string } {
  const [name = ref, tag = 'latest'] = ref.split(/:(?=[^/]*$)/);
  const slash = name.indexOf('/');
  const host = name.slice(0, slash);
  return { host: host === 'docker.io' ? 'registry-1.docker.io' : host, path: name.slice(slash + 1), tag };
}

/** What is written where a pull of `ref` fails for this reason; undefined where nobody says anything. */
export function text(reason: FailureReason, ref: string): string | undefined {
  const { host, path, tag } = parts(ref);
  const manifest = `https://${host}/v2/${path}/manifests/${tag}`;
  const failed = `failed to pull and unpack image "${ref}"`;
  const unresolved = `${failed}: failed to resolve image`;
  const layer = 'sha256:9c27e219663c25e0f28493790cc0b88bc973ba3b1686355f221c38a36978ac63';
  switch (reason) {
    case 'not_found':
      return `rpc error: code = NotFound desc = ${unresolved}: ${ref}: not found`;
    case 'unauthorized':
      return `${unresolved}: failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://${host}/token?scope=repository%3A${path}%3Apull&service=${host}: 401 Unauthorized`;
    case 'rate_limited':
      return `${unresolved}: unexpected status from HEAD request to ${manifest}: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit`;
    case 'kubelet_qps':
      return 'pull QPS exceeded';
    case 'registry_error':
      // A proxy in front of the registry answers with a page.
      return `${unresolved}: unexpected status from HEAD request to ${manifest}: 502 Bad Gateway: <html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.29.3</center>\r\n</body>\r\n</html>`;
    case 'dns':
      return `${unresolved}: failed to do request: Head "${manifest}": dial tcp: lookup ${host} on 10.96.0.10:53: no such host`;
    case 'connection_refused':
      return `${unresolved}: failed to do request: Head "${manifest}": dial tcp 10.20.0.7:443: connect: connection refused`;
    case 'timeout':
      return `${unresolved}: failed to do request: Head "${manifest}": net/http: TLS handshake timeout`;
    case 'tls':
      return `${unresolved}: failed to do request: Head "${manifest}": tls: failed to verify certificate: x509: certificate signed by unknown authority`;
    case 'proxy':
      return `${unresolved}: failed to do request: Head "${manifest}": proxyconnect tcp: dial tcp 10.20.0.3:3128: connect: connection refused`;
    case 'no_space':
      return `${failed}: failed to extract layer ${layer}: write /var/lib/containerd/tmpmounts/containerd-mount2683454398/usr/lib/libtorch_cuda.so: no space left on device`;
    case 'no_matching_platform':
      return `rpc error: code = NotFound desc = ${failed}: no match for platform in manifest: not found`;
    case 'digest_mismatch':
      return `rpc error: code = FailedPrecondition desc = ${failed}: failed commit on ref "layer-${layer}": unexpected commit digest sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b, expected ${layer}: failed precondition`;
    case 'signature':
      // The verifier is a program that writes in colour.
      return `${failed}: image verifier bindir blocked pull of ${ref} for reason: verifier cosign rejected image (exit code 1): \u001b[1;31mError:\u001b[0m no signatures found for image`;
    case 'invalid_name':
      return `Failed to apply default image tag "${ref}": couldn't parse image name "${ref}": invalid reference format: repository name must be lowercase`;
    case 'never_pull':
      return `Container image "${ref}" is not present with pull policy of Never`;
    case 'progress_timeout':
      return `${failed}: cancel pulling image because of no progress in 5m0s`;
    case 'runtime_restarted':
      return 'rpc error: code = Unavailable desc = error reading from server: EOF';
    case 'cancelled':
      return `rpc error: code = Canceled desc = ${failed}: failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip ${layer}) to overlayfs as "extract-593412874-Bu6s ${layer}": context canceled`;
    case 'other':
      return `${failed}: failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://${host}/v2/${path}/blobs/${layer}: 451 Unavailable For Legal Reasons`;
    default:
      return undefined;
  }
}
