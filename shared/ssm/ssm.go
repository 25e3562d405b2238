// Package ssm reads and writes parameters of AWS Systems Manager: for package reload as a source of
// settings, and for the command line.
//
// Three calls of some hundred and fifty are needed, so the package makes them itself, over package
// signed. The AWS SDK's client of SSM took 6 MB of the command line, 1.2 MB of a function and 1.5
// ms of its start, and some 10 s of CPU time of the first build. What is hard to get right is still
// the SDK's: which errors are tried again, how often, and after which pause.
package ssm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spillwayhq/spillway/shared/reload"
)

// API is what reading needs of a Client.
type API interface {
	GetParameter(ctx context.Context, name string, decrypt bool) (Value, error)
}

// Parameter returns a source that reads a String or a SecureString, and its earlier versions. An
// empty value is an error. Reading needs the permission ssm:GetParameter, and kms:Decrypt for a
// customer managed key.
func Parameter(api API, name string) reload.Source {
	p := parameter{api, name}
	return reload.Source{Name: name, Read: p.read, Before: p.before}
}

type parameter struct {
	api  API
	name string
}

func (p parameter) read(ctx context.Context) (reload.Content, error) {
	c, err := p.get(ctx, p.name)
	if code := codeOf(err); code == "InvalidKeyId" || code == "AccessDeniedException" {
		// The key of the newest value can't be used. Its version can be read without decrypting it.
		if value, withoutKey := p.api.GetParameter(ctx, p.name, false); withoutKey == nil {
			c.Version = strconv.FormatInt(value.Version, 10)
		}
	}
	return c, err
}

// before uses a selector, name:version, which needs no permission of its own. Versions are numbered
// from 1.
func (p parameter) before(ctx context.Context, version string) (reload.Content, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return reload.Content{}, fmt.Errorf("read the version of %s before %q: %w", p.name, version, err)
	}
	if n <= 1 {
		return reload.Content{}, reload.ErrFirst
	}
	version = strconv.FormatInt(n-1, 10)
	c, err := p.get(ctx, p.name+":"+version)
	c.Version = version
	code := codeOf(err)
	if errors.Is(err, errEmpty) ||
		slices.Contains([]string{"InvalidKeyId", "AccessDeniedException", codeNotFound, "ParameterVersionNotFound"}, code) {
		err = fmt.Errorf("%w: %w", reload.ErrUnreadable, err)
	}
	return c, err
}

func (p parameter) get(ctx context.Context, name string) (reload.Content, error) {
	value, err := p.api.GetParameter(ctx, name, true)
	if err != nil {
		return reload.Content{}, fmt.Errorf("read the parameter %s: %w", name, err)
	}
	c := reload.Content{Data: []byte(value.Text), Version: strconv.FormatInt(value.Version, 10)}
	if len(bytes.TrimSpace(c.Data)) == 0 {
		return c, fmt.Errorf("read the parameter %s: %w", name, errEmpty)
	}
	return c, nil
}

var errEmpty = errors.New("its value is empty")
