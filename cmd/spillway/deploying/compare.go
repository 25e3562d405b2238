package deploying

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/settings"
)

var settingName = regexp.MustCompile(`^[A-Za-z]+$`)

// ReadSettings reads the settings of a deployment: those of a file, if it is not empty, and pairs
// NAME=VALUE, which override them. name is the pipeline's; empty: as the settings say. given are the names of
// those that were given by pairs. The error has a line for each that is wrong.
func ReadSettings(region, name, file string, pairs []string) (s settings.Settings, given map[string]bool, err error) {
	values, given, errs := map[string]any{}, map[string]bool{}, []error{}
	for _, pair := range pairs {
		key, value, is := strings.Cut(pair, "=")
		switch {
		case !is:
			errs = append(errs, fmt.Errorf("--set must be NAME=VALUE, is %q", pair))
			continue
		case key == "settings":
			errs = append(errs, fmt.Errorf("--set settings=%s: give --settings %[1]s", value))
			continue
		case !settingName.MatchString(key):
			errs = append(errs, fmt.Errorf("unknown setting %q (known: %s)", key, strings.Join(settings.Names(), ", ")))
			continue
		case given[key]:
			errs = append(errs, fmt.Errorf("--set has %s twice", key))
			continue
		case value == "": // such as a variable that is not set in a shell
			errs = append(errs, fmt.Errorf("%s must not be empty: give none, or leave it out", key))
			continue
		}
		given[key], values[key] = true, value
	}
	if name != "" {
		if other, twice := values["name"]; twice && other != name {
			errs = append(errs, fmt.Errorf("--name is %s, and --set name is %v: give one of them", name, other))
		}
		values["name"] = name
	}
	if file != "" {
		values["settings"] = file
	}
	s, err = settings.Read(region, values, nil, os.ReadFile)
	return s, given, errors.Join(append(errs, err, s.Validate(settings.Partitions()))...)
}

// Compare returns a function for Deployment.Compare. given are the names of the settings that were
// given, and expressible is an error if a release can't express settings.
func Compare(stack string, s *settings.Settings, given map[string]bool,
	expressible func(*settings.Settings) error) func(io.Writer, map[string]string) error {
	return func(w io.Writer, before map[string]string) error {
		s.Compare(w, stack, before)
		if lines := takenAway(s, before, given, expressible); len(lines) > 0 {
			return fmt.Errorf("refused, nothing is changed: the stack %s has what a release can't express, and this "+
				"deployment would take it away:\n  %s\nDeploy it with the CDK (docs/deploy.md). To take it away, say so: "+
				"--set NAME=VALUE with the new value, such as none", stack, strings.Join(lines, "\n  "))
		}
		return nil
	}
}

// takenAway are the settings of a stack that a release can't express and that nobody has given another
// value, a line each.
func takenAway(s *settings.Settings, before map[string]string, given map[string]bool,
	expressible func(*settings.Settings) error) (lines []string) {
	now := s.Shown()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if given[name] || name == "name" || name == "adoptQueues" || before[name] == now[name] {
			continue
		}
		one, err := settings.Read(s.Regions[0], map[string]any{"name": s.Name, name: before[name]}, nil, os.ReadFile)
		if err != nil || one.Shown()[name] != before[name] {
			continue // a fingerprint, or a setting of another version: it is among the changes
		}
		if err := expressible(&one); err != nil {
			lines = append(lines, name+"="+before[name]+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	return lines
}
