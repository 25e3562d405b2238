package env

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

type config struct {
	text, queue string
	secret      string
	yes         bool
	number      int
	wait        time.Duration
	level       slog.Level
}

func (c *config) read(environ ...string) error {
	_, err := Read(environ, String("SPILLWAY_TEXT", &c.text), QueueURL("SPILLWAY_QUEUE_URL", &c.queue),
		Bool("SPILLWAY_YES", &c.yes), Int("SPILLWAY_NUMBER", &c.number, 0, 10), Duration("SPILLWAY_WAIT", &c.wait),
		LogLevel("SPILLWAY_LOG_LEVEL", &c.level), String("PORT", new(string)),
		Secret("SPILLWAY_SECRET", &c.secret, func(text string) bool { return !strings.Contains(text, " ") }, "one word"))
	return err
}

const queue = "SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events"

func TestVariablesAreReadByTheirTypes(t *testing.T) {
	c := config{number: 7}
	if err := c.read("PATH=/bin", queue, "SPILLWAY_TEXT=a=b", "SPILLWAY_YES=true", "SPILLWAY_WAIT=25s",
		"SPILLWAY_LOG_LEVEL=warn", "SPILLWAY_SECRET=s", "SPILLWAY_VERSION=every program knows it"); err != nil {
		t.Fatal(err)
	}
	if want := (config{"a=b", "https://sqs.eu-west-1.amazonaws.com/1/events", "s", true, 7, 25 * time.Second,
		slog.LevelWarn}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"SPILLWAY_QUEUE_URL=dead", `SPILLWAY_QUEUE_URL must be a queue's URL like https://sqs`},
		{"SPILLWAY_YES=perhaps", `SPILLWAY_YES must be true or false, is "perhaps"`},
		{"SPILLWAY_NUMBER=-1", `SPILLWAY_NUMBER must be a number from 0 to 10, is "-1"`},
		{"SPILLWAY_NUMBER=many", "from 0 to 10"},
		{"SPILLWAY_WAIT=25", "a duration above 0 like 25s"},
		{"SPILLWAY_WAIT=-1s", "a duration above 0 like 25s"},
		{"SPILLWAY_LOG_LEVEL=loud", "must be debug, info, warn or error"},
	} {
		if err := new(config).read(queue, c.variable); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.variable, err, c.want)
		}
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	err := new(config).read("SPILLWAY_YES=x", "SPILLWAY_LOG_LEVEL=loud", "SPILLWAY_NUMBER=x")
	for _, want := range []string{`SPILLWAY_QUEUE_URL must be`, "SPILLWAY_YES must be", "SPILLWAY_LOG_LEVEL must be",
		"SPILLWAY_NUMBER must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
}

func TestTwoVariablesExcludeEachOther(t *testing.T) {
	if err := Exclusive("A", "x", "B", "y"); err == nil || !strings.Contains(err.Error(), "A and B are both set") {
		t.Errorf("%v", err)
	}
	if err := Exclusive("A", "x", "B", ""); err != nil {
		t.Error(err)
	}
}

func TestOneVariableIsLookedUp(t *testing.T) {
	environ := []string{"AB=1", "A=2=3", "EMPTY="}
	if value, ok := Lookup(environ, "A"); value != "2=3" || !ok {
		t.Errorf("%q, %v", value, ok)
	}
	if _, ok := Lookup(environ, "EMPTY"); !ok {
		t.Error("an empty variable is absent")
	}
	if _, ok := Lookup(environ, "B"); ok {
		t.Error("a variable is there that is absent")
	}
}

func TestWhiteSpaceAroundAValueIsRemovedAndNamed(t *testing.T) {
	var key, port string
	ignored, err := Read([]string{"SPILLWAY_KEY=secret\r\n", "SPILLWAY_OTHER=\t", "PORT= 80"},
		Secret("SPILLWAY_KEY", &key, func(text string) bool { return text == "secret" }, "the secret"),
		String("SPILLWAY_OTHER", new(string)), String("PORT", &port))
	if err != nil || key != "secret" || port != " 80" || strings.Join(ignored.Trimmed, " ") != "SPILLWAY_KEY SPILLWAY_OTHER" {
		t.Errorf("%q, %q, trimmed %q: %v", key, port, ignored.Trimmed, err)
	}
	if text := logged(ignored); strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, "variable=SPILLWAY_KEY") ||
		strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}

// After a roll-back a program runs in the environment of a newer one.
func TestAnUnknownVariableIsIgnoredAndNamed(t *testing.T) {
	var text string
	ignored, err := Read([]string{"SPILLWAY_TEXT=x", "SPILLWAY_NEWER=secret ", "SPILLWAY_TXT=secret", "SPILLWAY_VERSION=v1",
		"OTHER=y"}, String("SPILLWAY_TEXT", &text), String("PORT", new(string)))
	if err != nil || text != "x" || strings.Join(ignored.Unknown, " ") != "SPILLWAY_NEWER SPILLWAY_TXT" || len(ignored.Trimmed) > 0 {
		t.Errorf("%q, ignored %+v: %v", text, ignored, err)
	}
	const want = `msg="variables that this version does not know are ignored" count=2 ` +
		`variables="SPILLWAY_NEWER, SPILLWAY_TXT" known=SPILLWAY_TEXT`
	if text := logged(ignored); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, want) {
		t.Errorf("the log says:\n%s", text)
	}
	if text := logged(Ignored{}); text != "" {
		t.Errorf("nothing was ignored, and the log says:\n%s", text)
	}
}

func logged(ignored Ignored) string {
	var log strings.Builder
	ignored.Log(slog.New(slog.NewTextHandler(&log, nil)))
	return log.String()
}

func TestAWrongSecretIsNotShown(t *testing.T) {
	err := new(config).read(queue, "SPILLWAY_SECRET=two words")
	if err == nil || err.Error() != "SPILLWAY_SECRET must be one word" {
		t.Errorf("%v", err)
	}
}
