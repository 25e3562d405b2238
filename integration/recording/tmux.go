package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// terminals are the panes as terminals of a tmux server of their own. They are safe
// for concurrent use, as tmux is.
type terminals struct {
	socket string
	env    []string
	typing time.Duration // from key to key
}

// open starts a shell in each pane. spillway is the program that the commands run; dir becomes their
// working directory and must be empty.
func open(ctx context.Context, spillway, dir string, phone bool, typing time.Duration) (*terminals, error) {
	bin, home, work := filepath.Join(dir, "bin"), filepath.Join(dir, "home"), filepath.Join(dir, "work")
	for _, d := range []string{bin, home, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(spillway, filepath.Join(bin, "spillway")); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nwrite-out = \"\\n\"\n"), 0o600); err != nil {
		return nil, err
	}
	t := &terminals{socket: filepath.Join(dir, "tmux"), typing: typing, env: []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "CURL_HOME=" + home,
		"PS1=$ ", "TZ=UTC", "LANG=C.UTF-8", "TERM=xterm-256color",
	}}
	for _, p := range panes {
		width, height := columns, p.rows
		if phone {
			width, height = phoneColumns, p.phoneRows
		}
		_, err := t.tmux(ctx, "-f", "/dev/null", "new-session", "-d", "-s", p.name, "-c", work, "-x", strconv.Itoa(width),
			"-y", strconv.Itoa(height), "PS1='$ ' exec bash --noprofile --norc")
		if err == nil {
			_, err = t.tmux(ctx, "set-option", "-g", "status", "off")
		}
		if err == nil { // the status line took a row
			_, err = t.tmux(ctx, "resize-window", "-t", p.name, "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
		}
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

func (t *terminals) tmux(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "tmux", append([]string{"-u", "-S", t.socket}, args...)...)
	c.Env = t.env
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}

// close ends the programs, `up` as by Ctrl-C, and the shells, which write their history into the home directory as they end.
// The server ends with the last of them: after that nobody writes into dir.
func (t *terminals) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, p := range panes {
		_, _ = t.tmux(ctx, "send-keys", "-t", p.name, "C-c") // what is not there needs no end
		_, _ = t.tmux(ctx, "send-keys", "-t", p.name, "exit", "Enter")
	}
	for {
		if _, err := t.tmux(ctx, "list-sessions"); err != nil && ctx.Err() == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			kill, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, err := t.tmux(kill, "kill-server")
			return errors.Join(errors.New("ending the programs in the terminals: one still ran after a minute"), err)
		}
	}
}

// atOnce is how many characters are typed at once: each call of tmux takes some milliseconds.
const atOnce = 4

// enter types a line as a person does.
func (t *terminals) enter(ctx context.Context, in int, line string) error {
	for len(line) > 0 {
		n := len(line)
		if t.typing > 0 {
			n = min(atOnce, n)
		}
		if _, err := t.tmux(ctx, "send-keys", "-t", panes[in].name, "-l", "--", line[:n]); err != nil {
			return err
		}
		line = line[n:]
		time.Sleep(atOnce * t.typing)
	}
	time.Sleep(8 * t.typing)
	_, err := t.tmux(ctx, "send-keys", "-t", panes[in].name, "Enter")
	return err
}

// A screen is what a terminal shows: its rows without trailing spaces, and where its cursor is.
type screen struct {
	rows   []string
	column int
	row    int
}

func (t *terminals) screen(ctx context.Context, of int) (screen, error) {
	out, err := t.tmux(ctx, "display-message", "-p", "-t", panes[of].name, "#{cursor_x} #{cursor_y}", ";",
		"capture-pane", "-p", "-t", panes[of].name)
	if err != nil {
		return screen{}, err
	}
	position, text, _ := strings.Cut(out, "\n")
	var s screen
	if _, err := fmt.Sscan(position, &s.column, &s.row); err != nil {
		return screen{}, fmt.Errorf("the cursor of %s: %w", panes[of].name, err)
	}
	for row := range strings.Lines(text) {
		s.rows = append(s.rows, strings.TrimRight(row, " \n"))
	}
	return s, nil
}

// text is what a terminal has shown, with the lines whole that it has wrapped.
func (t *terminals) text(ctx context.Context, of int) (string, error) {
	return t.tmux(ctx, "capture-pane", "-p", "-J", "-S", "-", "-t", panes[of].name)
}
