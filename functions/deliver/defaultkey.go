package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/deliver"
)

const (
	// keyInterval is how long a changed parameter takes to count. SSM's default rate is low (40 a second: AWS general reference,
	// Systems Manager quotas), and ten environments that read once a minute stay far below it.
	keyInterval = time.Minute
	// firstKeyInterval is how soon it is tried again while there is no value at all.
	firstKeyInterval = 5 * time.Second
	// keyTimeout bounds one reading, and with it what a parameter that hangs can cost the start or an invocation.
	keyTimeout = 2 * time.Second
)

// parameters is what a defaultKey needs of an *ssm.Client.
type parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// A defaultKey is the write key of messages that carry none, from a parameter of SSM, a String or a SecureString. Reading it
// needs ssm:GetParameter, and kms:Decrypt where it is encrypted with a key of one's own.
//
// It never fails: the last good value stays, and without any the messages wait in the queue. All cold starts of a region read at
// the same time, and a parameter that can't be read for a moment must not keep the function from delivering what has a key.
type defaultKey struct {
	api    parameters
	name   string
	logger *slog.Logger

	reading sync.Mutex // one at a time
	mu      sync.Mutex
	key     string
	next    time.Time // when it is to be read again
}

func newDefaultKey(api parameters, name string, logger *slog.Logger) *defaultKey {
	return &defaultKey{api: api, name: name, logger: logger}
}

// current is the key that was read last, empty while none was.
func (k *defaultKey) current() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

func (k *defaultKey) due(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !now.Before(k.next)
}

// refresh reads the parameter when it is time to.
func (k *defaultKey) refresh(ctx context.Context) {
	k.reading.Lock()
	defer k.reading.Unlock()
	if !k.due(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	key, err := k.read(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil && key != k.key {
		k.key = key
		k.logger.Info("default write key in force", "parameter", k.name, "write_key", deliver.KeyID(key))
	}
	if k.key == "" {
		k.next = time.Now().Add(firstKeyInterval)
	} else {
		k.next = time.Now().Add(keyInterval)
	}
	switch {
	case err != nil && k.key == "":
		k.logger.Error("the default write key could not be read: messages without a write key wait until it is", "parameter", k.name, "error", err)
	case err != nil:
		k.logger.Error("the default write key could not be read again: the one that was read last stays in force", "parameter", k.name, "error", err)
	}
}

// read reads the parameter. No error quotes its value.
func (k *defaultKey) read(ctx context.Context) (string, error) {
	out, err := k.api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(k.name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", fmt.Errorf("read the parameter: %w", err)
	}
	if out.Parameter == nil {
		return "", errors.New("read the parameter: it has no value")
	}
	key := strings.TrimSpace(aws.ToString(out.Parameter.Value))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", errors.New("the parameter's value is no write key: write the key of a Segment source into it, and nothing else")
	}
	return key, nil
}

// A function is the handler with a key that is read again while it works: between two invocations a Lambda is frozen, and a
// request that is under way then would time out.
type function struct {
	*deliver.Handler
	key *defaultKey
}

// Invoke delivers, and reads the parameter at the same time when it is due. While there is no key at all it reads first.
func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if f.key.current() == "" {
		f.key.refresh(ctx)
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { f.key.refresh(ctx) })
	return f.Handler.Invoke(ctx, payload)
}
