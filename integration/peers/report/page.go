package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The lines of docs/performance.md between which the tables stand.
const (
	pageBegin = "<!-- written by integration/peers/run -->"
	pageEnd   = "<!-- end of what integration/peers/run writes -->"
)

// Names of the files that are written into docs.
const (
	pageFile  = "performance.md"
	chartFile = "peers.svg"
)

// Text is the tables and the machine's facts as Markdown.
func (r *Results) Text(m Machine) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s.\n\n", m)
	for _, t := range r.Tables() {
		t.Write(&text)
	}
	return text.String()
}

// WriteDocs writes the tables into the page of the folder docs, and the chart beside it.
func (r *Results) WriteDocs(dir string, m Machine) error {
	file := filepath.Join(dir, pageFile)
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	page, err = between(page, "![Events per second of each way, on a logarithmic scale]("+chartFile+")\n\n"+r.Text(m))
	if err != nil {
		return fmt.Errorf("write the tables into %s: %w", file, err)
	}
	var drawn bytes.Buffer
	if err := r.Chart(&drawn); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(file, page, 0o644),
		os.WriteFile(filepath.Join(dir, chartFile), drawn.Bytes(), 0o644))
}

// between replaces what stands between the lines of the page.
func between(page []byte, text string) ([]byte, error) {
	before, rest, begins := bytes.Cut(page, []byte(pageBegin+"\n"))
	_, after, ends := bytes.Cut(rest, []byte(pageEnd))
	if !begins || !ends {
		return nil, fmt.Errorf("it has not the lines %q and %q", pageBegin, pageEnd)
	}
	return []byte(string(before) + pageBegin + "\n\n" + text + pageEnd + string(after)), nil
}

// Check is the error of a run in which Spillway has lost an event or left one in the queue, or in
// which a peer was not measured or left everything in the queue.
func (r *Results) Check() error {
	var wrong []error
	for _, p := range r.Peers {
		kill, away := r.fault(p.Name, "kill"), r.fault(p.Name, "away")
		if r.drain(p.Name, 0) == nil || r.drain(p.Name, latency) == nil || p.Lossless && (kill == nil || away == nil) {
			wrong = append(wrong, fmt.Errorf("%s was not measured whole", p.Name))
			continue
		}
		for _, d := range r.Drains {
			nothing := d.Left > 0 && d.Lost >= int64(d.Events) // then it does not run here
			if d.Peer == p.Name && (nothing || p.Lossless && (d.Lost > 0 || d.Left > 0)) {
				wrong = append(wrong, fmt.Errorf("%s lost %d events and left %d messages in a drain", p.Name, d.Lost, d.Left))
			}
		}
		if !p.Lossless {
			continue
		}
		for _, f := range []*Fault{kill, away} {
			if f.Lost > 0 || f.Left > 0 {
				wrong = append(wrong, fmt.Errorf("%s lost %d events and left %d messages: %s", p.Name, f.Lost, f.Left, f.Kind))
			}
		}
	}
	return errors.Join(wrong...)
}
