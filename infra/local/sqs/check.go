package sqs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// A Report is what Check found in a data directory.
type Report struct {
	Files  int
	Queues []QueueReport // by name
	Damage store.Damage
}

// QueueReport is a queue with its readable messages. The name is empty if the queue's record is
// lost.
type QueueReport struct {
	Name     string
	Messages int64
}

// Check reads the data directory of a server that does not run, and changes nothing in it. A message
// that it counts can be received.
func Check(dir string) (Report, error) {
	unlock, err := store.TryLock(store.Disk{}, dir)
	if err != nil {
		return Report{}, errOpen(dir, err)
	}
	defer unlock()
	found, err := store.Check(store.Disk{}, dir)
	if err != nil {
		return Report{}, errDirectory("read the queues' store in", dir, err)
	}
	r := Report{Files: found.Files, Damage: found.Damage}
	for key, value := range found.State {
		var q queueRecord
		if !strings.HasPrefix(key, queuePrefix) {
			continue
		}
		if err := json.Unmarshal(value, &q); err != nil {
			return r, fmt.Errorf("read %s: %w", key, err)
		}
		r.Queues = append(r.Queues, QueueReport{q.Name, found.Messages[q.ID]})
		delete(found.Messages, q.ID)
	}
	for _, n := range found.Messages {
		r.Queues = append(r.Queues, QueueReport{Messages: n})
	}
	slices.SortFunc(r.Queues, func(a, b QueueReport) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}
