package local

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
)

// ArchiveBounds say how much of the archive is kept: what is older, and beyond that the oldest, is
// removed.
type ArchiveBounds struct {
	Age   time.Duration // 0: of any age
	Bytes int64         // on disk; at least 1 MiB
}

// Archive describes the archive. Events count since the start.
type Archive struct {
	Events int64 `json:"events"` // that were archived
	// Waiting are events that the archive did not take when they ended, counted each time: their
	// records wait in the bulk queue, or their messages are retried.
	Waiting int64     `json:"waiting,omitzero"`
	Failure string    `json:"failure,omitzero"` // why the archive took nothing the last time; empty: it did
	Bytes   int64     `json:"bytes"`            // on disk
	Oldest  time.Time `json:"oldest,omitzero"`  // hour of the oldest events
	// Removed are events that were removed to keep the bounds.
	Removed int64 `json:"removed"`
}

// archiveFolder is the folder of a pipeline's archive in the data directory, in which pipelines of
// several names may have queues.
func archiveFolder(pipeline string) string {
	if pipeline == topology.DefaultNames().Pipeline {
		return "archive"
	}
	return "archive-" + pipeline
}

// archiver is the archive of a pipeline. It is safe for concurrent use.
type archiver struct {
	*dirstore.Writer
	mu      sync.Mutex
	failure error // of the last Put
}

func openArchive(dir, pipeline string, b *ArchiveBounds, logger *slog.Logger) (*archiver, error) {
	dir, err := filepath.Abs(filepath.Join(dir, archiveFolder(pipeline)))
	if err != nil {
		return nil, err
	}
	w, err := dirstore.OpenWriter(dir, dirstore.Options{MaxAge: b.Age, MaxBytes: b.Bytes, Log: logger})
	if err != nil {
		return nil, fmt.Errorf("%w; --archive-days=0 starts without an archive", err)
	}
	return &archiver{Writer: w}, nil
}

// Put implements archive.Appender.
func (a *archiver) Put(ctx context.Context, frames []archive.Frame) error {
	err := a.Writer.Put(ctx, frames)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = err
	return err
}

// addTo adds the archive to a status.
func (a *archiver) addTo(s *Status) {
	stats := a.Stats()
	s.ArchiveDir = a.Store().Dir()
	s.Archive.Bytes, s.Archive.Oldest, s.Archive.Removed = stats.Bytes, stats.Oldest, stats.Removed.Records
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure != nil {
		s.Archive.Failure = a.failure.Error()
	}
}
