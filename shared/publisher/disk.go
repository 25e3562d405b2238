package publisher

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
)

// Durability says when an event that Enqueue accepted is safe.
type Durability int

const (
	// Memory makes an event safe when SQS has it, or when it was written to Config.Dir because SQS
	// took no events. Enqueue does no I/O.
	Memory Durability = iota
	// Process makes an event safe against kill -9 when Enqueue returns. Enqueue writes to a file,
	// and does not wait for the disk.
	Process
	// Disk makes an event safe against kill -9 and a power cut when Enqueue returns. Enqueue waits
	// for the disk; calls at the same time share one wait.
	Disk
)

// A record in the log is one message: the number of its events as a varint, and its body as SQS
// gets it (package message). So a record has its own write key, which the next process may not
// have. In the durable modes a record is a message of one event, and shares a message with others
// when it is sent.
func appendRecord(dst []byte, events int, body string) []byte {
	return append(binary.AppendUvarint(dst, uint64(events)), body...)
}

// parseRecord reads what appendRecord wrote.
func parseRecord(record []byte) (events int, body []byte, err error) {
	n, size := binary.Uvarint(record)
	if size <= 0 || n == 0 || n > event.MaxBatchEvents || len(record) == size {
		return 0, nil, fmt.Errorf("a record of %d bytes was not written by a publisher", len(record))
	}
	return int(n), record[size:], nil
}

// disk is the log on disk.
type disk struct {
	*spill.Log
	log       *slog.Logger
	dir       string
	durable   bool        // every event is written to it, and not only what memory can't hold
	prefix    []byte      // what precedes an event in its record
	rawPrefix []byte      // the same for Raw events
	failing   atomic.Bool // the last write failed
}

// recordPrefix returns what precedes an event in a message of its own; batchEnd follows it.
func recordPrefix(h message.Header) []byte {
	whole := message.AppendJSON(nil, h)
	return whole[:len(whole)-len(batchEnd)]
}

const batchEnd = "]}"

func openDisk(ctx context.Context, config *Config, p *packing) (*disk, error) {
	log, err := spill.Open(spill.Options{
		Dir: config.Dir, MaxBytes: config.DiskBytes, Sync: config.Durability == Disk, Logger: config.Logger,
		FS: spill.FSFrom(ctx),
	})
	if err != nil {
		return nil, &ConfigError{Field: "Dir", Err: err}
	}
	return &disk{
		Log: log, log: config.Logger, dir: config.Dir, durable: config.Durability != Memory,
		prefix: recordPrefix(p.header), rawPrefix: recordPrefix(p.rawHeader),
	}, nil
}

// write puts the event in the encoder on disk.
func (d *disk) write(e *encoder, raw bool) error {
	prefix := d.prefix
	if raw {
		prefix = d.rawPrefix
	}
	e.record = appendRecord(e.record[:0], 1, "")
	e.record = append(e.record, prefix...)
	e.record = append(e.record, e.buf...)
	e.record = append(e.record, batchEnd...)
	switch err := d.Append(e.record); {
	case err == nil:
		return nil
	case errors.Is(err, spill.ErrClosed):
		return ErrClosed
	case errors.Is(err, spill.ErrFull), errors.Is(err, syscall.ENOSPC):
		return ErrFull
	default:
		return &SendError{Err: err}
	}
}

// spill writes messages from memory to disk. It returns those that it did not write, and how many
// events it wrote.
func (d *disk) spill(messages []*outgoing) (left []*outgoing, events int64) {
	var record []byte
	for _, o := range messages {
		if o.published() || o.records != nil {
			left = append(left, o)
			continue
		}
		record = appendRecord(record[:0], o.events, o.Body)
		if err := d.Append(record); err != nil {
			left = append(left, o)
			if d.failing.CompareAndSwap(false, true) {
				d.log.Error("events can't be written to disk; they wait in memory, and are dropped when it is full", "dir",
					d.dir, "error", err)
			}
			continue
		}
		d.failing.Store(false)
		events += int64(o.events)
	}
	return left, events
}
