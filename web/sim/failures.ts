// Failure reasons with realistic messages of runtimes and kubelets.

import { FAILURE_TITLES } from '../src/api/gen/failures';
import type { FailureReason } from '../src/api/gen/wire';

export const REASONS = Object.keys(FAILURE_TITLES) as FailureReason[];

/**
 * Splits `docker.io/library/busybox:1.37` into `registry-1.docker.io`, `library/busybox` and the
 * tag.
 */
function parseRef(ref: string): { host: string; path: string; tag: string } {
  const [name = ref, tag = 'latest'] = ref.split(/:(?=[^/]*$)/);
  const slash = name.indexOf('/');
  const host = name.slice(0, slash);
  return { host: host === 'docker.io' ? 'registry-1.docker.io' : host, path: name.slice(slash + 1), tag };
}

/** A realistic error message for a failed pull of `ref`; undefined if the reason has none. */
export function failureMessage(reason: FailureReason, ref: string): string | undefined {
  const { host, path, tag } = parseRef(ref);
  const manifest = `https://${host}/v2/${path}/manifests/${tag}`;
  const pullFailed = `failed to pull and unpack image "${ref}"`;
  const resolveFailed = `${pullFailed}: failed to resolve image`;
  const layer = 'sha256:9c27e219663c25e0f28493790cc0b88bc973ba3b1686355f221c38a36978ac63';
  switch (reason) {
    case 'not_found':
      return `rpc error: code = NotFound desc = ${resolveFailed}: ${ref}: not found`;
    case 'unauthorized':
      return `${resolveFailed}: failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://${host}/token?scope=repository%3A${path}%3Apull&service=${host}: 401 Unauthorized`;
    case 'rate_limited':
      return `${resolveFailed}: unexpected status from HEAD request to ${manifest}: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit`;
    case 'kubelet_qps':
      return 'pull QPS exceeded';
    case 'registry_error':
      // A proxy in front of the registry answers with an HTML page.
      return `${resolveFailed}: unexpected status from HEAD request to ${manifest}: 502 Bad Gateway: <html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.29.3</center>\r\n</body>\r\n</html>`;
    case 'dns':
      return `${resolveFailed}: failed to do request: Head "${manifest}": dial tcp: lookup ${host} on 10.96.0.10:53: no such host`;
    case 'connection_refused':
      return `${resolveFailed}: failed to do request: Head "${manifest}": dial tcp 10.20.0.7:443: connect: connection refused`;
    case 'timeout':
      return `${resolveFailed}: failed to do request: Head "${manifest}": net/http: TLS handshake timeout`;
    case 'tls':
      return `${resolveFailed}: failed to do request: Head "${manifest}": tls: failed to verify certificate: x509: certificate signed by unknown authority`;
    case 'proxy':
      return `${resolveFailed}: failed to do request: Head "${manifest}": proxyconnect tcp: dial tcp 10.20.0.3:3128: connect: connection refused`;
    case 'no_space':
      return `${pullFailed}: failed to extract layer ${layer}: write /var/lib/containerd/tmpmounts/containerd-mount2683454398/usr/lib/libtorch_cuda.so: no space left on device`;
    case 'no_matching_platform':
      return `rpc error: code = NotFound desc = ${pullFailed}: no match for platform in manifest: not found`;
    case 'digest_mismatch':
      return `rpc error: code = FailedPrecondition desc = ${pullFailed}: failed commit on ref "layer-${layer}": unexpected commit digest sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b, expected ${layer}: failed precondition`;
    case 'signature':
      // The verifier is a program that prints colours.
      return `${pullFailed}: image verifier bindir blocked pull of ${ref} for reason: verifier cosign rejected image (exit code 1): \u001b[1;31mError:\u001b[0m no signatures found for image`;
    case 'invalid_name':
      return `Failed to apply default image tag "${ref}": couldn't parse image name "${ref}": invalid reference format: repository name must be lowercase`;
    case 'never_pull':
      return `Container image "${ref}" is not present with pull policy of Never`;
    case 'progress_timeout':
      return `${pullFailed}: cancel pulling image because of no progress in 5m0s`;
    case 'runtime_restarted':
      return 'rpc error: code = Unavailable desc = error reading from server: EOF';
    case 'cancelled':
      return `rpc error: code = Canceled desc = ${pullFailed}: failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip ${layer}) to overlayfs as "extract-593412874-Bu6s ${layer}": context canceled`;
    case 'other':
      return `${pullFailed}: failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://${host}/v2/${path}/blobs/${layer}: 451 Unavailable For Legal Reasons`;
    default:
      return undefined;
  }
}
