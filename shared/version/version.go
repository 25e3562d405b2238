// Package version says which version of Spillway runs. A bug report, a log and a stack name it, so
// that what was deployed can be found again.
package version

import (
	"os"
	"runtime/debug"
	"strings"
)

// Variable is the environment variable that names the version of a function. Functions are built
// without the state of the repository, so that the same sources give the same bytes; the
// deployment, which knows it, tells them.
const Variable = "SPILLWAY_VERSION"

// release is the version of a released binary, set by the linker.
var release string

// String returns the version: of a release or of `go install …@version` like "v0.1.0", of a build in
// a clone like "devel-1a2b3c4d5e6f" (with "-changed" behind it, if files were), else "devel". It is
// safe for concurrent use.
func String() string {
	info, _ := debug.ReadBuildInfo()
	return version(os.Getenv(Variable), release, info)
}

func version(deployed, release string, info *debug.BuildInfo) string {
	switch {
	case deployed != "":
		return deployed
	case release != "":
		return release
	case info == nil:
		return "devel"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	revision = revision[:min(12, len(revision))]
	v, _ := strings.CutSuffix(info.Main.Version, "+dirty") // as Go calls what git describe is told to call changed
	switch {
	case v != "" && v != "(devel)" && (revision == "" || !strings.Contains(v, revision)):
	case revision == "":
		return "devel"
	default: // a clone, of which Go makes a version of its own, or none
		v = "devel-" + revision
	}
	if settings["vcs.modified"] == "true" {
		v += "-changed"
	}
	return v
}
