package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// A backlog is a filled queue on disk, of which each run gets a copy.
type backlog struct {
	dir      string
	Requests int64 // that SQS would charge for filling it
}

// filled returns the backlog of a peer, which it makes where there is none yet.
func (c *Config) filled(ctx context.Context, p *peer.Peer, count int) (*backlog, error) {
	b := &backlog{dir: filepath.Join(c.Work, fmt.Sprintf("backlog-%s-%d", p.Backlog, count))}
	manifest := b.dir + ".json"
	text, err := os.ReadFile(manifest)
	if err == nil {
		return b, json.Unmarshal(text, b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return nil, fmt.Errorf("remove what an earlier run left: %w", err)
	}
	if err := b.fill(ctx, p, count); err != nil {
		return nil, fmt.Errorf("fill the queue of %s: %w", p.Name, err)
	}
	if text, err = json.Marshal(b); err != nil {
		return nil, err
	}
	return b, os.WriteFile(manifest, text, 0o644)
}

func (b *backlog) fill(ctx context.Context, p *peer.Peer, count int) (err error) {
	queue, err := startQueue(ctx, p, b.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queue.Stop()) }()
	if err := p.Fill(ctx, fillingOf(p, queue, count)); err != nil {
		return err
	}
	if p.Queue == peer.SQS {
		state, err := machine.StateOf(ctx, queue.URL)
		if err != nil {
			return err
		}
		b.Requests = state.Requests
	}
	return nil
}

// startQueue starts the queue of a peer with its data in dir. The flags are those of the SQS
// emulator's process.
func startQueue(ctx context.Context, p *peer.Peer, dir string, flags ...string) (*machine.Process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the queue's directory: %w", err)
	}
	if p.Queue == peer.Redis {
		return machine.StartRedis(ctx, dir)
	}
	return machine.StartQueue(ctx, dir, flags...)
}

func fillingOf(p *peer.Peer, queue *machine.Process, count int) peer.Filling {
	f := peer.Filling{Count: count}
	if p.Queue == peer.Redis {
		f.Redis = queue.URL
	} else {
		f.QueueURL = machine.QueueURL(queue.URL)
	}
	return f
}

// copyTo makes a copy of the backlog.
func (b *backlog) copyTo(dir string) error {
	if err := os.CopyFS(dir, os.DirFS(b.dir)); err != nil {
		return fmt.Errorf("copy the backlog: %w", err)
	}
	return nil
}
