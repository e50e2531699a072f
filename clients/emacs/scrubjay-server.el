;;; scrubjay-server.el --- Scrubjay's language server  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; One process of `scrubjay lsp' for all of Emacs: started when it is needed,
;; and again when it has died.  Nothing here waits for it.
;;
;; Eglot and lsp-mode have connections of their own and do not meet this one.

;;; Code:

(require 'cl-lib)
(require 'jsonrpc)
(require 'subr-x)

;;;; Customization

(defcustom scrubjay-command '("scrubjay" "lsp")
  "The program that serves completions, and its arguments."
  :type '(repeat string)
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-socket nil
  "The daemon's socket, a file name; nil means the usual one."
  :type '(choice (const :tag "The usual one" nil) file)
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-model nil
  "The model that the daemon is started with.
The name of a GGUF file, \"OWNER/REPO\" on Hugging Face, or
\"starter\"; nil for what \"scrubjay model use\" has set.  A daemon
that runs with another one is left alone, which a message says."
  :type '(choice (const :tag "What is configured" nil) string)
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-max-tokens 0
  "How long a completion may be, in tokens; 0 leaves that to the daemon."
  :type 'natnum
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-alternatives 3
  "How many different completions to ask for when you ask for more than one."
  :type '(choice (const 1) (const 2) (const 3))
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-next-edit nil
  "Whether next edits are shown: where a change is to be made once more.
Either t, or a list of the languages in which they are, such as (\"python\").
A changed value counts from \\[scrubjay-restart] on."
  :type '(choice (const :tag "Nowhere" nil) (const :tag "In all languages" t) (repeat string))
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defvar scrubjay-server-ready-hook nil
  "Run when a request may get an answer that it could not get before.")

;;;; The connection

(defclass scrubjay-server-jsonrpc (jsonrpc-process-connection) ()
  "A connection to `scrubjay lsp'.")

(defconst scrubjay-server-install-help
  "install it from its sources with \"pipx install .\", or set `scrubjay-command'"
  "What to do where the program is missing.")

(defconst scrubjay-server--retry-seconds 30
  "How long after a failed start the server is not started again unasked.")

(defvar scrubjay-server--connection nil
  "The connection, or nil if there is none.")

(defvar scrubjay-server--capabilities nil
  "What the server said it can do; nil until it is initialized.")

(defvar scrubjay-server--link nil
  "What the server last said of its connection to the daemon.
A plist: `:kind', `:busy', `:message'.")

(defvar scrubjay-server--daemon nil
  "What the daemon last said of itself.
A plist: `:state', `:message', `:load'.")

(defvar scrubjay-server--progress nil
  "What goes on in the daemon: an alist from tokens to what to show of it.")

(defvar scrubjay-server--trouble nil
  "Why there is no server, in one sentence, or nil.")

(defvar scrubjay-server--not-before 0
  "The time before which a failed server is not started again unasked.")

(defun scrubjay-server-state ()
  "Return `ready', `warming', `unloaded' or `off'.
Where the model is unloaded, the next question loads it."
  (cond ((null scrubjay-server--connection) 'off)
        ((null scrubjay-server--capabilities) 'warming)
        ((or scrubjay-server--progress (eq (plist-get scrubjay-server--link :busy) t)) 'warming)
        ((equal (plist-get scrubjay-server--link :kind) "Error") 'off)
        ((not (equal (plist-get scrubjay-server--link :kind) "Normal")) 'warming)
        (t (pcase (plist-get scrubjay-server--daemon :state)
             ("ready" 'ready)
             ("unloaded" 'unloaded)
             ("failed" 'off)
             (_ 'warming)))))

(defun scrubjay-server-message ()
  "Return a sentence about what is going on or wrong, or nil."
  (or scrubjay-server--trouble
      (cdar scrubjay-server--progress)
      (cl-some (lambda (said)
                 (let ((message (plist-get said :message)))
                   (and (stringp message) (not (string-empty-p message)) message)))
               (list scrubjay-server--link scrubjay-server--daemon))))

(defun scrubjay-server-connection ()
  "Return the connection to the server, or nil; another server has another one."
  scrubjay-server--connection)

(defun scrubjay-server-capability (name)
  "Return what the server said of its capability NAME."
  (plist-get scrubjay-server--capabilities name))

(defun scrubjay-server-running-p ()
  "Return non-nil if the server is there to answer."
  (and scrubjay-server--connection scrubjay-server--capabilities
       (jsonrpc-running-p scrubjay-server--connection)))

(defun scrubjay-server-ensure ()
  "Start the server unless there is one, or one has just failed.
Return non-nil if it can be talked to now; if it cannot yet,
`scrubjay-server-ready-hook' will be called when it can."
  (unless (or scrubjay-server--connection
              (< (float-time) scrubjay-server--not-before))
    (scrubjay-server--start))
  (scrubjay-server-running-p))

(defun scrubjay-server-stop ()
  "End the server; the daemon lives on."
  (when-let ((connection scrubjay-server--connection))
    (scrubjay-server--forget)
    (when (jsonrpc-running-p connection)
      (jsonrpc-notify connection :exit nil))))

(defun scrubjay-server-restart ()
  "End the server, and start it again at once."
  (scrubjay-server-stop)
  (setq scrubjay-server--not-before 0)
  (scrubjay-server-ensure))

(defun scrubjay-server--start ()
  "Start the server."
  (condition-case failure
      (let ((connection (scrubjay-server--make-connection)))
        (setq scrubjay-server--trouble nil
              scrubjay-server--connection connection)
        (jsonrpc-async-request connection :initialize (scrubjay-server--greeting)
                               :timeout 60
                               :success-fn (lambda (answer) (scrubjay-server--greeted connection answer))
                               :error-fn (lambda (problem)
                                           (scrubjay-server--fail (plist-get problem :message) connection))
                               :timeout-fn (lambda () (scrubjay-server--fail "it does not answer" connection))))
    (error (scrubjay-server--fail (error-message-string failure))))
  (force-mode-line-update t))

(defun scrubjay-server--make-connection ()
  "Start the program, and return the connection to it."
  (let ((program (car scrubjay-command)))
    (unless (executable-find program)
      (error "There is no program %s; %s" program scrubjay-server-install-help)))
  (apply #'make-instance 'scrubjay-server-jsonrpc
         :name "scrubjay"
         :process #'scrubjay-server--make-process
         :request-dispatcher #'scrubjay-server--requested
         :notification-dispatcher #'scrubjay-server--notified
         :on-shutdown #'scrubjay-server--ended
         ;; Logging each message would cost more than all the rest.
         (if (>= emacs-major-version 30)
             '(:events-buffer-config (:size 0 :format short))
           '(:events-buffer-scrollback-size 0))))

(defun scrubjay-server--make-process ()
  "Start the program in the root folder.
That is no project, of which a file might be taken for a part of the program."
  (let ((default-directory "/")
        (process-environment (cons "PYTHONSAFEPATH=1" process-environment)))
    (make-process :name "scrubjay"
                  :command scrubjay-command
                  :connection-type 'pipe
                  :coding 'utf-8-emacs-unix
                  :noquery t
                  ;; By this name `jsonrpc' takes it over.
                  :stderr (get-buffer-create "*scrubjay stderr*"))))

(defun scrubjay-server--greeting ()
  "Return the parameters of the first request."
  `( :processId ,(emacs-pid)
     :rootUri nil
     :clientInfo (:name "scrubjay.el" :version "0.1.0")
     :capabilities ( :general (:positionEncodings ["utf-32" "utf-16"])
                     :window (:workDoneProgress t)
                     :textDocument (:inlineCompletion (:dynamicRegistration :json-false)))
     :initializationOptions ( :editorPluginInfo (:name "scrubjay.el" :version "0.1.0")
                              :maxTokens ,scrubjay-max-tokens
                              ;; Ghost text is inserted, nothing is replaced.
                              :inline (:maxItems ,scrubjay-alternatives :replace :json-false)
                              ,@(when scrubjay-next-edit
                                  (list :nextEdit (scrubjay-server--languages scrubjay-next-edit)))
                              ,@(when scrubjay-socket
                                  (list :socket (expand-file-name scrubjay-socket)))
                              ,@(when scrubjay-model
                                  (list :model scrubjay-model)))))

(defun scrubjay-server--languages (languages)
  "Return what the server is told where something is to be in LANGUAGES, t for all."
  (cl-loop for language in (if (eq languages t) '("*") languages)
           append (list (intern (concat ":" language)) t)))

(defun scrubjay-server--greeted (connection answer)
  "The server at CONNECTION has introduced itself by ANSWER."
  (when (eq connection scrubjay-server--connection)
    (jsonrpc-notify connection :initialized (make-hash-table))
    (setq scrubjay-server--capabilities (or (plist-get answer :capabilities) '(:none t)))
    (scrubjay-server--changed)
    (run-hooks 'scrubjay-server-ready-hook)))

(defun scrubjay-server--fail (reason &optional connection)
  "There is no server, for REASON; say so once.
Do nothing if it is about a CONNECTION that has been given up."
  (when (or (null connection) (eq connection scrubjay-server--connection))
    (scrubjay-server--give-up reason)))

(defun scrubjay-server--give-up (reason)
  "Say REASON once, and end what there is of the server."
  (let ((sentence (format "Scrubjay cannot run: %s." (string-remove-suffix "." (or reason "no reason given")))))
    (unless (equal sentence scrubjay-server--trouble)
      (message "%s" sentence))
    (setq scrubjay-server--trouble sentence
          scrubjay-server--not-before (+ (float-time) scrubjay-server--retry-seconds)))
  (when-let ((connection scrubjay-server--connection))
    (scrubjay-server--forget)
    (jsonrpc-shutdown connection))
  (scrubjay-server--changed))

(defun scrubjay-server--ended (connection)
  "The process of CONNECTION has ended, maybe because it was told to."
  (when (eq connection scrubjay-server--connection)
    (let ((was-ready scrubjay-server--capabilities))
      (scrubjay-server--forget)
      (if was-ready
          ;; The next edit starts it again; should it die at once, that counts as a failure.
          (setq scrubjay-server--not-before (+ (float-time) 1))
        (scrubjay-server--fail "it ended at once; M-x scrubjay-diagnose shows its last words")))))

(defun scrubjay-server--forget ()
  "Forget the connection and all that was learnt by it."
  (setq scrubjay-server--connection nil
        scrubjay-server--capabilities nil
        scrubjay-server--link nil
        scrubjay-server--daemon nil
        scrubjay-server--progress nil)
  (force-mode-line-update t))

(defun scrubjay-server--changed ()
  "The state may be another than before."
  (force-mode-line-update t))

;;;; What the server says unasked

(defun scrubjay-server--requested (_connection method _params)
  "Answer the server's request METHOD."
  (unless (memq method '(window/workDoneProgress/create client/registerCapability
                         client/unregisterCapability))
    (jsonrpc-error :code -32601 :message (format "Emacs does not know %s" method)))
  nil)

(defun scrubjay-server--notified (_connection method params)
  "Take the server's notification METHOD with PARAMS."
  (pcase method
    ('$/progress (scrubjay-server--take-progress (plist-get params :token) (plist-get params :value)))
    ('didChangeStatus (scrubjay-server--take-status params))
    ('scrubjay/state (scrubjay-server--take-state params))
    ('scrubjay/ready (run-hooks 'scrubjay-server-ready-hook))
    ('window/showMessage (message "%s" (plist-get params :message)))))

(defun scrubjay-server--take-progress (token value)
  "VALUE is what the progress TOKEN has come to."
  (setq scrubjay-server--progress (assoc-delete-all token scrubjay-server--progress))
  (unless (equal (plist-get value :kind) "end")
    (push (cons token (scrubjay-server--progress-text value)) scrubjay-server--progress))
  (scrubjay-server--changed))

(defun scrubjay-server--progress-text (value)
  "Return what to show of a progress VALUE."
  (string-join (delq nil (list (plist-get value :title) (plist-get value :message)
                               (when-let ((percentage (plist-get value :percentage)))
                                 (format "%d%%" percentage))))
               " "))

(defun scrubjay-server--take-state (state)
  "The daemon is in STATE."
  (setq scrubjay-server--daemon state)
  (scrubjay-server--changed))

(defun scrubjay-server--take-status (status)
  "The connection to the daemon has come to STATUS."
  (let ((before (plist-get scrubjay-server--link :kind)))
    (setq scrubjay-server--link status)
    (unless (equal (plist-get status :kind) "Normal")
      (setq scrubjay-server--daemon nil))
    (scrubjay-server--changed)
    ;; A daemon that was lost takes with it what it was asked; one that came back has not been asked.
    (unless (or (null before) (equal before (plist-get status :kind))
                (equal (plist-get status :kind) "Error"))
      (run-hooks 'scrubjay-server-ready-hook))))

;;;; Asking

(defun scrubjay-server-request (method params then &optional otherwise)
  "Send the request METHOD with PARAMS; call THEN with the result.
Call OTHERWISE, if given, with a sentence if there is none.
Return immediately."
  (let ((otherwise (or otherwise #'ignore)))
    (if (not (scrubjay-server-running-p))
        (funcall otherwise (or (scrubjay-server-message) "Scrubjay is starting."))
      (jsonrpc-async-request scrubjay-server--connection method params
                             :timeout 300
                             :success-fn then
                             :error-fn (lambda (problem)
                                         (funcall otherwise (format "%s" (plist-get problem :message))))
                             :timeout-fn (lambda () (funcall otherwise "There was no answer."))))))

(defun scrubjay-server-notify (method params)
  "Tell the server METHOD with PARAMS, if there is one."
  (when (scrubjay-server-running-p)
    (jsonrpc-notify scrubjay-server--connection method params)))

(defun scrubjay-server-execute (command arguments &optional then otherwise)
  "Have the server execute COMMAND with ARGUMENTS, a list.
THEN and OTHERWISE as for `scrubjay-server-request'."
  (scrubjay-server-request :workspace/executeCommand
                           (list :command command :arguments (vconcat arguments))
                           (or then #'ignore) otherwise))

(provide 'scrubjay-server)
;;; scrubjay-server.el ends here
