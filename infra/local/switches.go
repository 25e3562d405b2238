package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/app/canary"
	"github.com/spillwayhq/spillway/shared/diskdir"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/reload"
)

// PausePath and ResumePath take POST, on the port of the SQS emulator, with a Switch as JSON. They
// answer a Switched, or an error as text.
const (
	PausePath  = "/_spillway/pause"
	ResumePath = "/_spillway/resume"
)

// A Switch says what a person wants to pause or to resume.
type Switch struct {
	Key    string `json:"key,omitempty"` // a write key's event.KeyID; empty: delivery
	By     string `json:"by,omitempty"`  // who it is
	Reason string `json:"reason,omitempty"`
}

// Switched says what has become of a Switch.
type Switched struct {
	// Mark is the one that there is now, or that has been removed; zero: there was none.
	Mark    operator.Mark `json:"mark,omitzero"`
	Already bool          `json:"already"` // it was so before: nothing was changed
}

// switches are what a person has paused, and the files that keep it. It is safe for concurrent use.
type switches struct {
	dir, pipeline string
	enable        func(enabled bool) // the event source; nil: nothing is delivered anyhow
	logger        *slog.Logger

	mu     sync.Mutex
	paused operator.Mark
	keys   operator.Keys
}

// openSwitches reads what was paused before. A file that can't be understood is an error: whoever
// wrote it wanted something paused.
func openSwitches(dir, pipeline string, logger *slog.Logger) (*switches, error) {
	s := &switches{dir: dir, pipeline: pipeline, logger: logger}
	for name, parse := range map[string]func([]byte) error{
		topology.PausedParameter:     func(data []byte) (err error) { s.paused, err = operator.Parse(data); return err },
		topology.PausedKeysParameter: func(data []byte) (err error) { s.keys, err = operator.ParseKeys(data); return err },
	} {
		data, err := os.ReadFile(s.file(name))
		if err == nil {
			err = parse(data)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read what is paused from %s: %w; correct the file, or delete it and pause again",
				s.file(name), err)
		}
	}
	return s, nil
}

// control lets them enable and disable the event source, before anything is switched.
func (s *switches) control(enable func(enabled bool)) {
	s.enable = enable
	enable(!s.paused.IsSet())
}

// file is that of a parameter. Pipelines with several names may share a data directory.
func (s *switches) file(parameter string) string {
	return filepath.Join(s.dir, s.pipeline+"-"+parameter+".json")
}

// sources are what the canary's function reads.
func (s *switches) sources() canary.Switched {
	source := func(parameter string) reload.Source {
		missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
		return reload.File(s.file(parameter)).Else(nil, missing)
	}
	return canary.Switched{Paused: source(topology.PausedParameter), PausedKeys: source(topology.PausedKeysParameter),
		Drained: source(topology.DrainedParameter)}
}

// now is what is paused.
func (s *switches) now() (operator.Mark, operator.Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused, s.keys.Paused()
}

// pausedKeys are those that deliver.Config wants.
func (s *switches) pausedKeys() operator.Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// pause pauses delivery or a write key. What is paused already keeps its mark.
func (s *switches) pause(w Switch) (Switched, error) {
	mark, err := operator.New(time.Now(), w.By, w.Reason)
	if err != nil {
		return Switched{}, fmt.Errorf("%w: %w", errSwitch, err)
	}
	if s.enable == nil && w.Key == "" {
		return Switched{}, fmt.Errorf("%w: this pipeline delivers nothing, because it was started so (--deliver=false)",
			errSwitch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.mark(w.Key); was.IsSet() {
		return Switched{was, true}, nil
	}
	if w.Key != "" {
		keys := s.keys.Pause(w.Key, mark)
		if _, err := keys.Document(); err != nil { // a parameter would be full
			return Switched{}, fmt.Errorf("%w: %w", errSwitch, err)
		}
		return Switched{Mark: mark}, s.saveKeys(keys)
	}
	if err := s.write(topology.PausedParameter, mark.Document()); err != nil {
		return Switched{}, err
	}
	s.paused = mark
	s.enable(false)
	return Switched{Mark: mark}, nil
}

// resume ends a pause.
func (s *switches) resume(w Switch) (Switched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.mark(w.Key)
	switch {
	case !was.IsSet():
		return Switched{Already: true}, nil
	case w.Key != "":
		return Switched{Mark: was}, s.saveKeys(s.keys.Resume(w.Key, time.Now()))
	}
	if err := s.remove(topology.PausedParameter); err != nil {
		return Switched{}, err
	}
	s.paused = operator.Mark{}
	if s.enable != nil {
		s.enable(true)
	}
	return Switched{Mark: was}, nil
}

// mark is that of delivery, or of a write key. mu is held.
func (s *switches) mark(key string) operator.Mark {
	if key == "" {
		return s.paused
	}
	return s.keys.Paused()[key]
}

// saveKeys replaces the keys. mu is held.
func (s *switches) saveKeys(keys operator.Keys) error {
	document, err := keys.Document()
	if err == nil {
		err = s.write(topology.PausedKeysParameter, document)
	}
	if err == nil {
		s.keys = keys
	}
	return err
}

// write replaces a file, so that it survives a kill and a power cut as a whole.
func (s *switches) write(parameter string, document []byte) error {
	path := s.file(parameter)
	f, err := os.CreateTemp(s.dir, filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails if it was renamed
	_, err = f.Write(document)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return diskdir.Sync(s.dir)
}

func (s *switches) remove(parameter string) error {
	if err := os.Remove(s.file(parameter)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return diskdir.Sync(s.dir)
}

// errSwitch says that a Switch is wrong.
var errSwitch = errors.New("refused")

// maxSwitch bounds the body of a request.
const maxSwitch = 16 << 10

// serve answers requests for one of the paths.
func (s *switches) serve(do func(Switch) (Switched, error), what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var order Switch
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSwitch)).Decode(&order); err != nil {
			http.Error(w, "the body must be JSON like {\"key\":\"\",\"by\":\"ann@laptop\",\"reason\":\"Segment migrates\"}: "+
				err.Error(), http.StatusBadRequest)
			return
		}
		if order.Key != "" && !event.IsKeyID(order.Key) { // it is logged and shown
			http.Error(w, "key must be the fingerprint of a write key: 8 hexadecimal digits, as the log and the page show it",
				http.StatusBadRequest)
			return
		}
		done, err := do(order)
		s.log(r.Context(), what, order, done, err)
		switch {
		case errors.Is(err, errSwitch):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, fmt.Sprintf("%s could not be written to the data directory: %v", what, err),
				http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(done) // an error is the client's, who has gone
		}
	}
}

func (s *switches) log(ctx context.Context, what string, order Switch, done Switched, err error) {
	if err != nil {
		s.logger.ErrorContext(ctx, "a "+what+" failed", "key_id", order.Key, "by", order.By, "error", err)
		return
	}
	s.logger.WarnContext(ctx, "a person has asked for a "+what, "key_id", order.Key, "by", order.By,
		"already", done.Already, "mark", done.Mark.String())
}
