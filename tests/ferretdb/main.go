// A MongoDB for the tests: FerretDB 1.24, embedded, which speaks MongoDB's wire protocol over SQLite or PostgreSQL.
//
// It prints its URI once it listens, and stops when it is told to or when its standard input ends: with the tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 is any that is free")
	state := flag.String("state", "", "where the data is: file:<directory>/ or postgres://…")
	flag.Parse()
	if err := serve(*listen, *state); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen, state string) error {
	config := &ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: state,
	}
	if strings.HasPrefix(state, "postgres://") {
		config.Handler, config.PostgreSQLURL = "postgresql", state
	}
	server, err := ferretdb.New(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go func() { fmt.Println(server.MongoDBURI()) }()
	return server.Run(ctx)
}
