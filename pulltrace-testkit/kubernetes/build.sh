#!/bin/sh
# build.sh OUT [TAG]: builds the program here into the file OUT, by Go 1.24 or newer.
#
# Unoptimised, since a test starts it more seldom than it is built: that saves a third of the build and costs 0.7 s
# of a start. Every file of this folder, this one too, is part of the name under which the result is cached.
set -eu
out=$1 tag=${2:-none}
cd "$(dirname "$0")"
# Flags or a workspace of the caller are not about this build.
export CGO_ENABLED=0 GOFLAGS= GOWORK=off
# The compiler collects its garbage more seldom: a sixth less work, for memory that a machine of tests has.
export GOGC=400
version=$(sed -n 's,^.*k8s.io/kubernetes v,,p' go.mod)
minor=${version#1.}
set_version="-X k8s.io/component-base/version.git"
exec go build -buildvcs=false -trimpath -tags "$tag" -o "$out" \
  -gcflags 'all=-N -l -dwarf=false' \
  -ldflags "-s -w ${set_version}Version=v$version ${set_version}Major=1 ${set_version}Minor=${minor%%.*}" .
