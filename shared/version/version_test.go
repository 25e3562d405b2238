package version

import (
	"runtime/debug"
	"testing"
)

func TestTheVersionIsThatOfTheDeploymentElseOfTheReleaseElseOfTheBuild(t *testing.T) {
	info := func(version string, settings ...string) *debug.BuildInfo {
		b := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return b
	}
	revision := "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		deployed, release string
		info              *debug.BuildInfo
		want              string
	}{
		"a function":              {"v0.2.0", "v0.1.0", info("v0.3.0"), "v0.2.0"},
		"a release":               {"", "v0.1.0", info("(devel)"), "v0.1.0"},
		"go install":              {"", "", info("v0.1.0"), "v0.1.0"},
		"a clone":                 {"", "", info("(devel)", "vcs.revision", revision, "vcs.modified", "false"), "devel-0123456789ab"},
		"a clone with changes":    {"", "", info("", "vcs.revision", revision, "vcs.modified", "true"), "devel-0123456789ab-changed"},
		"a clone, as Go calls it": {"", "", info("v0.0.0-20261127061048-0123456789ab", "vcs.revision", revision), "devel-0123456789ab"},
		"the same with changes": {"", "", info("v0.0.0-20261127061048-0123456789ab+dirty", "vcs.revision", revision, "vcs.modified",
			"true"), "devel-0123456789ab-changed"},
		"a clone of a release":    {"", "", info("v0.1.0", "vcs.revision", revision), "v0.1.0"},
		"a changed release":       {"", "", info("v0.1.0+dirty", "vcs.revision", revision, "vcs.modified", "true"), "v0.1.0-changed"},
		"go run":                  {"", "", info("(devel)"), "devel"},
		"no build information":    {"", "", nil, "devel"},
		"a revision of few bytes": {"", "", info("(devel)", "vcs.revision", "0123"), "devel-0123"},
	} {
		if got := version(c.deployed, c.release, c.info); got != c.want {
			t.Errorf("%s: the version is %q, want %q", name, got, c.want)
		}
	}
}
