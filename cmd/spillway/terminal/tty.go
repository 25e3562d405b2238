package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Is reports whether a verb's input or output is a terminal.
func Is(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// ReadYes reads the line that answers "Type yes to confirm", and reports whether it is yes. An end of
// the input without a line is a no.
func ReadYes(in io.Reader) (bool, error) {
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(answer) == "yes", nil
}

// Columns returns the width of a terminal, which may change at any time.
func Columns(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// Progress is a progress bar. It draws nothing where the output is not a terminal.
type Progress struct{ bar *progressbar.ProgressBar }

// NewProgress returns a bar of what is sent, which counts to total; 0 means that the total is not
// known.
func NewProgress(out io.Writer, what string, total int) Progress {
	return newProgress(out, "sending", what, total)
}

// NewReading is NewProgress for what is read.
func NewReading(out io.Writer, what string, total int) Progress {
	return newProgress(out, "reading", what, total)
}

func newProgress(out io.Writer, doing, what string, total int) Progress {
	if !Is(out) {
		return Progress{}
	}
	if total == 0 {
		total = -1
	}
	return Progress{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(doing),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(what),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())}
}

// Add counts n more.
func (p Progress) Add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n)
	}
}

// Set counts n in all.
func (p Progress) Set(n int) {
	if p.bar != nil {
		_ = p.bar.Set(n)
	}
}

// Finish removes the bar.
func (p Progress) Finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
