// Package report keeps what the parts of a measurement have found, and prints it as tables and as a
// chart for the page docs/performance.md.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Table is a table of the page. Its cells are Markdown.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
	Notes []string // sentences below it
}

// Write writes the table as Markdown.
func (t *Table) Write(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n| %s |\n|%s\n", t.Title, strings.Join(t.Head, " | "), strings.Repeat("---|", len(t.Head)))
	for _, row := range t.Rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(w)
	for _, note := range t.Notes {
		fmt.Fprintln(w, note)
	}
	if len(t.Notes) > 0 {
		fmt.Fprintln(w)
	}
}

// A Part is what one part of the measurement has found.
type Part struct {
	Tables []Table
	Values any // for programs
}

// Save writes a result, such as a Part, to a file NAME.json of the directory, in place of an older
// one.
func Save(dir, name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the result of %s: %w: give another directory with --results", name, err)
	}
	return nil
}

// A Drain is one run of a peer on a backlog. Doubled events arrived more than once.
type Drain struct {
	Peer                string
	Latency             time.Duration // of the Segment emulator
	Round               int
	Events              int
	Took                time.Duration // from the start of the worker to the last event
	Lost, Doubled       int64
	Left                int64 // messages in the queue at the end
	WorkerCPU, QueueCPU time.Duration
	WorkerRSS, QueueRSS int64 // peaks in bytes, of the largest process
	Processes           int   // of the worker at the same time
	Requests            int64 // that SQS would charge for, with the filling
	WireBytes           int64 // to Segment
	Invocations         int64 // of the function; 0: there is none
	GBSeconds           float64
	LogBytes            int64
}

// A Fault is one run of a peer through a fault: "kill" or "away".
type Fault struct {
	Peer, Kind    string
	Events        int
	Took          time.Duration // from the start of the worker to the last event
	Lost, Doubled int64
	// Left are messages in the queue at the end, whose events are counted as lost although they may
	// still come.
	Left int64
	Away time.Duration // for how long Segment was away; 0: it was not
}
