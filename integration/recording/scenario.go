package main

import (
	"regexp"
	"time"
)

// A pane is one of the terminals.
type pane struct {
	name, title string
	rows        int // of the wide recording
	phoneRows   int
}

const (
	pipeline = iota
	outcomes
	shell
)

var panes = []pane{
	pipeline: {name: "up", title: "the pipeline", rows: 16, phoneRows: 18},
	outcomes: {name: "tail", title: "what happens to each event", rows: 6, phoneRows: 10},
	shell:    {name: "shell", title: "your terminal", rows: 11, phoneRows: 13},
}

// A step types a command into a terminal, and waits until a terminal shows something.
type step struct {
	in    int
	typed string
	of    int            // the terminal that until is about
	until *regexp.Regexp // in its joined lines
	fast  bool           // the wait is played in waitPlayed, however long it was
	hold  time.Duration  // how long the reader then has to look
}

const (
	columns, phoneColumns = 100, 64
	waitPlayed            = 4 * time.Second
	longest               = 2 * time.Minute // that a step may take
)

var scenario = []step{
	{in: pipeline, typed: "spillway up", of: pipeline, until: regexp.MustCompile(`(?m)^  alarms `), hold: time.Second},
	{in: outcomes, typed: "spillway tail --user u1", of: outcomes, until: regexp.MustCompile(`--user u1`),
		hold: time.Second},
	{in: shell, typed: `curl -u key: localhost:8080/v1/track -d '{"messageId":"m1","userId":"u1","event":"Run Started"}'`,
		of: outcomes, until: regexp.MustCompile(`delivered .* messageId=m1`), hold: 2 * time.Second},
	{in: shell, typed: `# Segment fails for 20 seconds`, hold: 200 * time.Millisecond},
	{in: shell, typed: `curl -X PUT localhost:9325/_segmentd/script -d '{"rules":[{"until":"20s","status":503}]}'`,
		of: shell, until: regexp.MustCompile(`(?m)^\{"rules":.*503`), hold: 500 * time.Millisecond},
	{in: shell, typed: `curl -u key: localhost:8080/v1/track -d '{"messageId":"m2","userId":"u1","event":"Run Ended"}'`,
		of: outcomes, until: regexp.MustCompile(`retried .* messageId=m2`), hold: 500 * time.Millisecond},
	{in: shell, typed: `spillway send --count 1000`, of: shell, until: regexp.MustCompile(`sent 1,000 events`),
		hold: 2 * time.Second},
	{of: pipeline, until: regexp.MustCompile(`backlog +0 events`), fast: true, hold: 2 * time.Second},
	{in: shell, typed: `# and then rejects one event`, hold: 200 * time.Millisecond},
	{in: shell,
		typed: `curl -X PUT localhost:9325/_segmentd/script -d '{"rules":[{"match":{"messageId":"m3"},"status":400}]}'`,
		of:    shell, until: regexp.MustCompile(`(?m)^\{"rules":.*400`), hold: 200 * time.Millisecond},
	{in: shell, typed: `curl -u key: localhost:8080/v1/track -d '{"messageId":"m3","userId":"u1","event":"Run Shared"}'`,
		of: outcomes, until: regexp.MustCompile(`dead_lettered .* messageId=m3`), hold: time.Second},
	{in: shell, typed: `spillway dlq ls`, of: shell, until: regexp.MustCompile(`rejected: Segment answered 400`),
		hold: 5 * time.Second},
}
