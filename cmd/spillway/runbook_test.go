package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// An engineer copies these commands during an incident.
func TestTheCommandsOfTheRunbookExist(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	placeholder := strings.NewReplacer(`"$QUEUE"`, "https://sqs.us-east-1.amazonaws.com/123456789012/spillway-events",
		`"$STACK"`, "spillway-us-east-1", `"$NAME"`, "spillway")
	lines := regexp.MustCompile(`(?m)^    spillway ([^>#\n]*)`).FindAllStringSubmatch(string(runbook), -1)
	if len(lines) < 5 {
		t.Errorf("only %d command lines were found", len(lines))
	}
	for _, l := range lines {
		words := strings.Fields(placeholder.Replace(l[1]))
		verb, args, err := newRoot().Find(words)
		if err != nil || verb.RunE == nil {
			t.Errorf("spillway %s: there is no such verb: %v", l[1], err)
			continue
		}
		if err := verb.ParseFlags(args); err != nil {
			t.Errorf("spillway %s: %v", l[1], err)
		} else if err := verb.ValidateArgs(verb.Flags().Args()); err != nil {
			t.Errorf("spillway %s: %v", l[1], err)
		}
	}
}
