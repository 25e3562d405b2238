package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const typing = 15 * time.Millisecond // from key to key: a fast typist

func main() {
	check := flag.Bool("check", false, "compare the recording in the tree with a new run, and write nothing")
	spillway := flag.String("spillway", "", "the program, built")
	to := flag.String("to", "docs/pictures", "the folder of the recordings")
	flag.Parse()
	// Whoever ends it, the terminals must be closed: they are no children of this process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *spillway, *to, *check); err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, spillway, to string, check bool) error {
	if check {
		return checkAll(ctx, spillway, to)
	}
	for _, file := range files {
		r, err := play(ctx, spillway, file.phone, typing, false)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, file.name), []byte(r.svg(file.phone)), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s plays %.0f s of a run of %.0f s\n", file.name, r.played(r.lasted).Seconds(), r.lasted.Seconds())
	}
	return nil
}

var files = []struct {
	name  string
	phone bool
}{{"recording.svg", false}, {"recording-phone.svg", true}}

// checkAll compares both recordings with a run whose lines, being whole, have the rows of either
// width.
func checkAll(ctx context.Context, spillway, from string) error {
	r, err := play(ctx, spillway, false, 0, true)
	if err != nil {
		return err
	}
	for _, file := range files {
		drawn, err := os.ReadFile(filepath.Join(from, file.name))
		if err != nil {
			return err
		}
		rows, err := rowsOf(string(drawn))
		if err == nil && len(rows) < 50 {
			err = fmt.Errorf("it has only %d rows", len(rows))
		}
		if err == nil {
			err = compare(rows, r.texts)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.name, err)
		}
		fmt.Printf("%s: its %d rows are what the commands print\n", file.name, len(rows))
	}
	return nil
}

// play records the scenario in terminals that it opens and closes.
func play(ctx context.Context, spillway string, phone bool, typing time.Duration, hurry bool) (
	_ *recording, err error) {
	if spillway, err = filepath.Abs(spillway); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "recording-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := open(ctx, spillway, dir, phone, typing)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return record(ctx, t, hurry)
}
