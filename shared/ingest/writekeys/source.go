package writekeys

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// MaxBytes bounds a document: some thousands of keys. (An SSM parameter holds 4 KB, an advanced one
// 8 KB: Systems Manager user guide, "Managing parameter tiers".)
const MaxBytes = 1 << 20

// A Source reads the document as it is now. It must return when its context ends.
type Source func(context.Context) ([]byte, error)

// File is a regular file, opened anew each time, so that it may be replaced by renaming as
// Kubernetes does.
func File(path string) Source {
	return unhurried(func() ([]byte, error) {
		data, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the set of write keys: %w", err)
		}
		return data, nil
	})
}

func readFile(path string) ([]byte, error) {
	// A pipe would be waited for, and be empty the next time.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: write the document into one", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err == nil && len(data) > MaxBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, MaxBytes)
	}
	return data, err
}

// unhurried makes a Source of a reading that can't be given up, as of a file system that hangs.
// While one is under way no other begins, so that they do not pile up.
func unhurried(read func() ([]byte, error)) Source {
	type outcome struct {
		data []byte
		err  error
	}
	busy := make(chan struct{}, 1)
	return func(ctx context.Context) ([]byte, error) {
		select {
		case busy <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("read the set of write keys: the reading before this one still hangs: %w", ctx.Err())
		}
		done := make(chan outcome, 1)
		go func() {
			defer func() { <-busy }()
			data, err := read()
			done <- outcome{data, err}
		}()
		select {
		case o := <-done:
			return o.data, o.err
		case <-ctx.Done():
			return nil, fmt.Errorf("read the set of write keys: %w", ctx.Err())
		}
	}
}

// SSM is what the package needs of an *ssm.Client.
type SSM interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Parameter is a parameter of SSM, a String or a SecureString. Reading it needs ssm:GetParameter,
// and kms:Decrypt where it is encrypted with a key of one's own.
func Parameter(api SSM, name string) Source {
	return func(ctx context.Context) ([]byte, error) {
		out, err := api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
		if err != nil {
			return nil, fmt.Errorf("read the set of write keys from the parameter %s: %w", name, err)
		}
		if out.Parameter == nil || out.Parameter.Value == nil {
			return nil, fmt.Errorf("read the set of write keys from the parameter %s: it has no value", name)
		}
		return []byte(*out.Parameter.Value), nil
	}
}
