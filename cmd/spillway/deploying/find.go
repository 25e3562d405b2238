package deploying

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// packaged is where the deb and rpm packages put the bundle.
const packaged = "/usr/share/spillway"

// bundlePattern is the name of a bundle: spillway_VERSION_aws.zip.
const bundlePattern = "spillway_*_aws.zip"

// Places are the folders in which a bundle is looked for: that of this program, the working
// directory, and where packages put it.
func Places() (places []string) {
	if program, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			program = real
		}
		places = append(places, filepath.Dir(program))
	}
	return append(places, ".", packaged)
}

// FindBundle finds the bundle of a version: the first of its name in places, otherwise the only one of
// any version in the first folder that has one. The error says what to do.
func FindBundle(version string, places []string) (string, error) {
	own := strings.Replace(bundlePattern, "*", strings.TrimPrefix(version, "v"), 1)
	for _, place := range places {
		for _, name := range []string{own, strings.Replace(bundlePattern, "*", version, 1)} {
			if _, err := os.Stat(filepath.Join(place, name)); err == nil {
				return filepath.Join(place, name), nil
			}
		}
	}
	for _, place := range places {
		found, err := filepath.Glob(filepath.Join(place, bundlePattern))
		switch {
		case err != nil || len(found) == 0:
		case len(found) > 1:
			slices.Sort(found)
			return "", fmt.Errorf("which bundle is to be deployed? There are several, and none of this version (%s): "+
				"%s. Name one by --bundle", version, strings.Join(found, ", "))
		default:
			return found[0], nil
		}
	}
	return "", fmt.Errorf("there is no bundle %s in %s. Releases have it beside this program: fetch it, or name it "+
		"by --bundle FILE. From the sources, docs/deploy.md deploys without it", own, strings.Join(places, ", "))
}

// Fits is an error if a bundle is not that of this program, whose parameters it computes: both must be
// of one release. A program or bundle built from sources has no release, and takes any.
func Fits(program, bundle string) error {
	if program == bundle || !isRelease(program) || !isRelease(bundle) {
		return nil
	}
	return fmt.Errorf("the bundle is of the release %s, and this program of %s: use both of one release. An earlier "+
		"release is deployed with its own program", bundle, program)
}

func isRelease(version string) bool {
	return len(version) > 1 && version[0] == 'v' && version[1] >= '0' && version[1] <= '9'
}
