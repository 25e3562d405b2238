package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/spillwayhq/spillway/integration/testutil"
)

// asCommand is the environment variable that lets this test binary be the command.
const asCommand = "SPILLWAY_TEST_AS_COMMAND"

// A shell is an interactive bash in a terminal, into which text is pasted as a person does it.
type shell struct {
	t      *testing.T
	tty    *os.File
	out    testutil.Buffer
	prompt int // where in out the last prompt ends
}

// The prompt has the status of the last command.
var promptPattern = regexp.MustCompile(`<<<(\d+)>>> `)

// control are the sequences that move a terminal's cursor or switch its modes.
var control = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]|\r`)

// newShell starts a shell in dir, whose `go run ./cmd/spillway` is this test binary.
func newShell(t *testing.T, dir string, environ ...string) *shell {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = 'run ./cmd/spillway' ] || { echo \"not run here: go $*\"; exit 1; }\n" +
		"shift 2\n" + asCommand + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(bash, "--norc", "--noprofile", "-i")
	command.Dir = dir
	command.Env = append(os.Environ(), append(environ, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "TERM=xterm",
		"PS1=<<<$?>>> ", "PAGER=cat", "GIT_PAGER=cat", "AWS_PAGER=", "HISTFILE=")...)
	tty, err := pty.StartWithSize(command, &pty.Winsize{Rows: 50, Cols: 2000})
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, tty: tty}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1<<16)
		for {
			n, err := tty.Read(buffer)
			_, _ = s.out.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // which hangs up, and so ends what runs in the foreground
		_ = command.Wait()
		<-ended
		_ = tty.Close()
	})
	s.await("the first prompt", func(text string) bool { return promptPattern.MatchString(text) })
	s.prompt = promptPattern.FindStringIndex(s.out.String())[1]
	return s
}

func (s *shell) write(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until what came since the last prompt is as done says.
func (s *shell) await(what string, done func(since string) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		since := s.out.String()[s.prompt:]
		if done(since) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("gave up waiting for %s; the terminal shows\n%s", what, control.ReplaceAllString(since, ""))
		}
	}
}

// A step is a command and what it must do.
type step struct {
	command string
	want    *regexp.Regexp // in its output
	status  []int          // that it may exit with; nil: 0
	during  func()         // runs while the command does
	until   string         // when its output has this, keys are pressed
	keys    string
}

// paste pastes the commands of a block at once, and checks what each printed. The keys of a step are
// pressed when its output asks for them.
func (s *shell) paste(steps []step) {
	s.t.Helper()
	var block strings.Builder
	for _, st := range steps {
		block.WriteString(st.command + "\n")
	}
	s.write(block.String())
	for _, st := range steps {
		if st.during != nil {
			st.during()
		}
		if st.until != "" {
			s.await(st.until+" from "+st.command, func(text string) bool { return strings.Contains(output(text), st.until) })
			s.write(st.keys)
		}
		var end []int
		s.await("the end of "+st.command, func(text string) bool {
			end = promptPattern.FindStringSubmatchIndex(text)
			return end != nil
		})
		text := s.out.String()[s.prompt:]
		printed, status := output(text[:end[0]]), text[end[2]:end[3]]
		s.prompt += end[1]
		st.check(s.t, printed, status)
	}
}

// output is what a command printed, without the command itself, which readline shows.
func output(text string) string {
	_, rest, _ := strings.Cut(control.ReplaceAllString(text, ""), "\n")
	return rest
}

func (st *step) check(t *testing.T, printed, status string) {
	t.Helper()
	ok := status == "0"
	for _, allowed := range st.status {
		ok = ok || status == strconv.Itoa(allowed)
	}
	switch {
	case !ok:
		t.Errorf("%s\nexits with %s:\n%s", st.command, status, printed)
	case st.want == nil && printed != "":
		t.Errorf("%s\nprints something:\n%s", st.command, printed)
	case st.want != nil && !st.want.MatchString(printed):
		t.Errorf("%s\nprints\n%s\nwant a text like %s", st.command, printed, st.want)
	}
}
