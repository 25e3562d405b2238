package main

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTheRecordingsInTheTreePlayTheScenario(t *testing.T) {
	t.Parallel()
	for _, file := range files {
		drawn, err := os.ReadFile(filepath.Join("../../docs/pictures", file.name))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := rowsOf(string(drawn))
		if err != nil {
			t.Fatalf("%s is no XML: %v", file.name, err)
		}
		shown := strings.Join(rows, "")
		for _, s := range scenario {
			width := columns
			if file.phone {
				width = phoneColumns
			}
			if first := ("$ " + s.typed); !strings.Contains(shown, first[:min(len(first), width)]) {
				t.Errorf("%s does not show %s: make it anew with .ci/recording", file.name, first)
			}
		}
		for _, outcome := range []string{"delivered", "retried", "dead_lettered", "rejected: Segment answ"} {
			if !strings.Contains(shown, outcome) {
				t.Errorf("%s does not show %q", file.name, outcome)
			}
		}
		d := regexp.MustCompile(`animation-duration:([0-9.]+)s`).FindStringSubmatch(string(drawn))
		if d == nil {
			t.Fatalf("%s is not animated", file.name)
		}
		if seconds, err := strconv.ParseFloat(d[1], 64); err != nil || seconds < 25 || seconds > 40 {
			t.Errorf("%s plays %s s, must be 25 to 40", file.name, d[1])
		}
		if !strings.Contains(string(drawn), "(prefers-reduced-motion:reduce)") {
			t.Errorf("%s moves for those who want no motion", file.name)
		}
	}
}

func TestARecordingSaysNothingOfTheMachineThatMadeIt(t *testing.T) {
	t.Parallel()
	private := []string{"/tmp/", "/home/", "/root", "/Users/", "http://www.w3.org/1999"}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && host != "localhost" {
		private = append(private, host)
	}
	if u, err := user.Current(); err == nil && u.Username != "root" && len(u.Username) > 3 {
		private = append(private, u.Username+"@", "/"+u.Username)
	}
	for _, file := range files {
		drawn, err := os.ReadFile(filepath.Join("../../docs/pictures", file.name))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range private {
			if strings.Contains(string(drawn), p) {
				t.Errorf("%s has %q", file.name, p)
			}
		}
	}
}

// two is a recording of two seconds, of which the second was played faster.
func two() *recording {
	at := func(d time.Duration, row string) sample {
		screens := make([]screen, len(panes))
		for i := range screens {
			screens[i].rows = []string{row}
		}
		return sample{d, screens}
	}
	return &recording{
		samples: []sample{at(0, `$ echo '<a & b>'`), at(time.Second, "  backlog       1 event"), at(21*time.Second, "<a & b>")},
		waits:   []wait{{time.Second, 21 * time.Second}},
		lasted:  25 * time.Second,
	}
}

func TestAWaitIsPlayedInTheSameTimeHoweverLongItWas(t *testing.T) {
	t.Parallel()
	r := two()
	for at, want := range map[time.Duration]time.Duration{
		0: 0, time.Second: time.Second, 11 * time.Second: time.Second + waitPlayed/2, 21 * time.Second: time.Second + waitPlayed,
		25 * time.Second: 5*time.Second + waitPlayed,
	} {
		if got := r.played(at); got.Round(time.Millisecond) != want {
			t.Errorf("what happened at %s is played at %s, want %s", at, got, want)
		}
	}
}

func TestADrawnRecordingHasTheRowsThatWereSeen(t *testing.T) {
	t.Parallel()
	rows, err := rowsOf(two().svg(true))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	want := []string{"  backlog       1 event", "  backlog       1 event", "$ echo '<a & b>'", "<a & b>"}
	if !slices.Equal(rows, want) { // the backlog twice: the pipeline's has colours
		t.Errorf("got %q, want %q", rows, want)
	}
}

func TestCompareFindsALineThatIsNoLongerPrinted(t *testing.T) {
	t.Parallel()
	printed := []string{"  backlog       2 events in 1 message, 0 of them in flight\n12:00:00.000  delivered  \"Run Started\" user=u1\n" +
		"sent 1,000 events in 3 messages, 0.04 s\n$ spillway dlq ls\n"}
	for row, ok := range map[string]bool{
		"  backlog       1,001 events in 4 messages, 1 of them in flight": true,
		"23:01:02.003  delivered  \"Run Started\"":                        true, // the terminal has wrapped it
		"$ spillway dl": true, // being typed
		"  alarms        35 ok; no data: spillway-paused-long, spillway-x": true, // by the minute
		"  waiting       1,001 events in 4 messages, 1 of them in flight":  false,
		"  backlog       1,001 events in 4 messages, 1 in flight":          false,
		"23:01:02.003  sent  \"Run Started\"":                              false,
		"$ spillway queue ls":                                              false,
	} {
		if err := compare([]string{row}, printed); (err == nil) != ok {
			t.Errorf("%s: %v", row, err)
		}
	}
}
