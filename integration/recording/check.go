package main

import (
	"fmt"
	"regexp"
	"strings"
)

var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`[0-9]+(\.[0-9]+)? ([KMG]i)?B\b`), "0 B"},
	{regexp.MustCompile(`[0-9]+([0-9,.:-]*[0-9])?`), "0"},
	{regexp.MustCompile(`(0[hms])+\b`), "0s"},
	{regexp.MustCompile(`\b0 (event|message|request|dead letter)s?\b`), "0 $1"},
	{regexp.MustCompile(`spillway(-[a-z]+)+,?( spillway(-[a-z]+)+,?)*`), "NAMES"},
	{regexp.MustCompile(`  +`), " "},
}

// shape is a line without what differs from run to run.
func shape(line string) string {
	for _, c := range changing {
		line = c.pattern.ReplaceAllString(line, c.with)
	}
	return strings.TrimSpace(line)
}

// byTheMinute are shapes of lines that a run shows or not, by the second of the minute in which it
// begins.
var byTheMinute = []string{
	"alarms evaluated at the end of each minute", "alarms 0 ok; no data: NAMES", "alarms 0 ok", "NAMES", "canary none yet",
	"archive 0 event, 0 B on disk since 0 0",
}

// compare returns an error that names each row of a recording that is no part of a line of texts,
// and not one of byTheMinute.
func compare(rows, texts []string) error {
	var shapes strings.Builder
	seen := map[string]bool{}
	for _, line := range append(strings.Split(strings.Join(texts, "\n"), "\n"), byTheMinute...) {
		if s := shape(line); !seen[s] {
			seen[s] = true
			shapes.WriteString(s + "\n")
		}
	}
	printed := shapes.String()
	var differ []string
	for _, row := range rows {
		if s := shape(row); !strings.Contains(printed, s) {
			differ = append(differ, fmt.Sprintf("  %s\n    (without its numbers: %s)", row, s))
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("the recording shows what the commands no longer print:\n%s\nmake it anew with .ci/recording, "+
			"and look at it", strings.Join(differ, "\n"))
	}
	return nil
}
