package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/event"
)

func TestPauseAndResumeSayWhoWhenAndWhy(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{OnEvent: arrivals.Add})
	for _, c := range []struct{ command, want string }{
		{"resume", `^Delivery is not paused: nothing was changed\.\n$`},
		{"pause --reason Segment\u00a0migrates", `^Delivery has been paused since \S+ \S+ UTC by \S+@\S+: Segment.migrates\nEvents wait .*14 days\. ` +
			`To end the pause: spillway resume --queue-url http://\S+/spillway-events\n$`},
		{"pause", `^Delivery has been paused already, since .* by \S+@\S+: Segment`},
		{"pause --reason Other", `already, since .*: Segment.migrates\nThe new reason is not kept: resume and pause again`},
		{"resume", `^Delivery is resumed\. It had been paused since .*: Segment.migrates\n$`},
		{"pause --write-key very-secret", `^The write key ` + event.KeyID("very-secret") + ` has been paused since .*\nIts events wait .*10 days; ` +
			`other keys go on\. To end the pause: spillway resume --queue-url \S+ --write-key ` + event.KeyID("very-secret") + `\n$`},
		{"pause --write-key " + event.KeyID("very-secret"), `has been paused already, since`},
		{"resume --write-key very-secret", `^The write key \w+ is resumed\. It had been paused since .*\n.*within 20 minutes\.\n$`},
	} {
		out, _, err := spillway(t.Context(), "", append(strings.Split(c.command, " "), queueFlag(p))...)
		if err != nil || !regexp.MustCompile(c.want).MatchString(out) || strings.Contains(out, "secret") {
			t.Errorf("%s: %v\n%s\nwant %s", c.command, err, out, c.want)
		}
	}
}

func TestPauseRefusesWhatItCantDoInOneLine(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"pause", queueFlag(p)}, "--deliver=false"},
		{[]string{"pause", "--queue-url=http://127.0.0.1:1/000000000000/spillway-events"}, "is `spillway up` running?"},
		{[]string{"pause", "--queue-url=" + p.IngestURL + "x"}, "must be that of a standard SQS queue"},
		{[]string{"pause", "--write-key=a b", queueFlag(p)}, "--write-key must be"},
		{[]string{"pause", "--reason=" + strings.Repeat("r", 500), queueFlag(p)}, "one line of at most 160 bytes"},
		{[]string{"resume", "--name=spillway", queueFlag(p)}, "--queue-url is for the local pipeline"},
		{[]string{"pause", "--name=Spillway"}, "--name: the pipeline's name must begin with a lower-case letter"},
		{[]string{"pause", "now"}, "takes no arguments"},
	} {
		out, _, err := spillway(t.Context(), "", c.args...)
		if err == nil || out != "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want one line with %q\n%s", c.args, err, c.want, out)
		}
	}
}
