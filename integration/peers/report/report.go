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

// Save writes a part's result to a file NAME.json of the directory, in place of an older one.
func Save(dir, name string, p Part) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the result of %s: %w: give another directory with --results", name, err)
	}
	return nil
}
