;;; scrubjay-server.el --- Scrubjay's language server, and documents in step with it  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; One process of `scrubjay lsp' for all of Emacs, and what it knows of the
;; buffers.  Nothing here waits for it: buffers record their changes as they
;; happen, and send them when somebody asks for something.
;;
;; Eglot and lsp-mode have connections of their own and do not meet this one.

;;; Code:

(require 'cl-lib)
(require 'jsonrpc)
(require 'url-util)

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

(defcustom scrubjay-language-ids
  '((c++ . "cpp") (js . "javascript") (js2 . "javascript") (sh . "shellscript")
    (bash . "shellscript") (csharp . "csharp") (tsx . "typescriptreact")
    (js-jsx . "javascriptreact") (latex . "latex") (LaTeX . "latex"))
  "What the daemon calls a language, by its mode's name less `-mode' or `-ts-mode'.
Others have the same name there."
  :type '(alist :key-type symbol :value-type string)
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defvar scrubjay-server-ready-functions nil
  "Functions called with no argument when an answer may be had that was not before.")

;;;; The connection

(defclass scrubjay-server-jsonrpc (jsonrpc-process-connection) ()
  "A connection to `scrubjay lsp'.")

(defconst scrubjay-server--retry-seconds 30
  "How long after a failed start the server is not started again unasked.")

(defvar scrubjay-server--connection nil
  "The connection, or nil if there is none.")

(defvar scrubjay-server--capabilities nil
  "What the server said it can do; nil until it is initialized.")

(defvar scrubjay-server--link nil
  "What the server last said of its link to the daemon.
A plist: `:kind', `:busy', `:message'.")

(defvar scrubjay-server--progress nil
  "What goes on in the daemon: an alist from tokens to what to show of it.")

(defvar scrubjay-server--trouble nil
  "Why there is no server, in one sentence, or nil.")

(defvar scrubjay-server--not-before 0
  "The time before which a failed server is not started again unasked.")

(defun scrubjay-server-state ()
  "Return `ready', `warming' or `off'."
  (cond ((null scrubjay-server--connection) 'off)
        ((null scrubjay-server--capabilities) 'warming)
        ((or scrubjay-server--progress (eq (plist-get scrubjay-server--link :busy) t)) 'warming)
        ((equal (plist-get scrubjay-server--link :kind) "Normal") 'ready)
        ((equal (plist-get scrubjay-server--link :kind) "Error") 'off)
        (t 'warming)))

(defun scrubjay-server-message ()
  "Return a sentence about what is going on or wrong, or nil."
  (or scrubjay-server--trouble
      (cdar scrubjay-server--progress)
      (let ((message (plist-get scrubjay-server--link :message)))
        (and (stringp message) (not (string-empty-p message)) message))))

(defun scrubjay-server-running-p ()
  "Return non-nil if the server is there to answer."
  (and scrubjay-server--connection scrubjay-server--capabilities
       (jsonrpc-running-p scrubjay-server--connection)))

(defun scrubjay-server-ensure ()
  "Start the server unless there is one, or one has just failed.
Return non-nil if it can be talked to now; if it cannot yet,
`scrubjay-server-ready-functions' will be called when it can."
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
                               :error-fn (lambda (problem) (scrubjay-server--fail (plist-get problem :message)))
                               :timeout-fn (lambda () (scrubjay-server--fail "it does not answer"))))
    (error (scrubjay-server--fail (error-message-string failure))))
  (force-mode-line-update t))

(defun scrubjay-server--make-connection ()
  "Start the program, and return the connection to it."
  (let ((program (car scrubjay-command)))
    (unless (executable-find program)
      (error "There is no program %s; install it with \"pipx install scrubjay\", or set `scrubjay-command'" program)))
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
  "Start the program in a folder that will not vanish under it."
  (let ((default-directory (expand-file-name "~/")))
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
                              :inline (:maxItems ,scrubjay-alternatives)
                              ,@(when scrubjay-socket
                                  (list :socket (expand-file-name scrubjay-socket))))))

(defun scrubjay-server--greeted (connection answer)
  "The server at CONNECTION has introduced itself by ANSWER."
  (when (eq connection scrubjay-server--connection)
    (jsonrpc-notify connection :initialized (make-hash-table))
    (setq scrubjay-server--capabilities (or (plist-get answer :capabilities) '(:none t)))
    (scrubjay-server--changed)
    (run-hooks 'scrubjay-server-ready-functions)))

(defun scrubjay-server--fail (reason)
  "There is no server, for REASON; say so once."
  (let ((sentence (format "Scrubjay cannot run: %s." (string-remove-suffix "." (or reason "no reason given")))))
    (unless (equal sentence scrubjay-server--trouble)
      (message "%s" sentence))
    (setq scrubjay-server--trouble sentence
          scrubjay-server--not-before (+ (float-time) scrubjay-server--retry-seconds)))
  (when-let ((connection scrubjay-server--connection))
    (scrubjay-server--forget)
    (delete-process (jsonrpc--process connection)))
  (scrubjay-server--changed))

(defun scrubjay-server--ended (connection)
  "The process behind CONNECTION has ended, maybe because it was told to."
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
    ('scrubjay/ready (run-hooks 'scrubjay-server-ready-functions))
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

(defun scrubjay-server--take-status (status)
  "The link to the daemon has come to STATUS."
  (let ((before (plist-get scrubjay-server--link :kind)))
    (setq scrubjay-server--link status)
    (scrubjay-server--changed)
    ;; A daemon that was lost takes with it what it was asked; one that came back has not been asked.
    (unless (or (null before) (equal before (plist-get status :kind))
                (equal (plist-get status :kind) "Error"))
      (run-hooks 'scrubjay-server-ready-functions))))

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

(defun scrubjay-server-execute (command &rest arguments)
  "Have the server execute COMMAND with ARGUMENTS; nobody waits for the result."
  (scrubjay-server-request :workspace/executeCommand
                           (list :command command :arguments (vconcat arguments))
                           #'ignore))

;;;; Documents

(cl-defstruct (scrubjay-server--document (:constructor scrubjay-server--make-document))
  "What the server knows of a buffer."
  (connection nil :documentation "To the server that knows it.")
  (file nil :documentation "Its file when it was opened.")
  (uri nil :documentation "The URI of that file.")
  (version 0 :documentation "The last one sent.")
  (size 0 :documentation "The buffer's size with all recorded changes.")
  (changes nil :documentation "Recorded and not sent, the latest first.")
  (n-changes 0 :documentation "Number of them.")
  (begun nil :documentation "A change that is being made: its bounds, and both as positions.")
  (lost nil :documentation "Non-nil if a change was missed, so that the whole text is to be sent."))

(defvar-local scrubjay-server--document nil
  "What the server knows of this buffer, or nil.")

(defconst scrubjay-server--many-changes 200
  "With so many changes to be sent, the whole text is sent instead.")

(defun scrubjay-server-uri ()
  "Return the URI of this buffer's document, or nil if the server does not know it."
  (and scrubjay-server--document (scrubjay-server--document-uri scrubjay-server--document)))

(defun scrubjay-server-version ()
  "Return the version of this buffer's document."
  (scrubjay-server--document-version scrubjay-server--document))

(defun scrubjay-server-sync ()
  "Let the server know this buffer as it is; return non-nil if it does now."
  (when (and buffer-file-name (scrubjay-server-ensure))
    (if (scrubjay-server--known-p)
        (scrubjay-server--send-changes scrubjay-server--document)
      (scrubjay-server--open))
    t))

(defun scrubjay-server-close ()
  "Let the server forget this buffer."
  (when-let ((document scrubjay-server--document))
    (setq scrubjay-server--document nil)
    (when (eq (scrubjay-server--document-connection document) scrubjay-server--connection)
      (scrubjay-server-notify :textDocument/didClose
                              `(:textDocument (:uri ,(scrubjay-server--document-uri document)))))))

(defun scrubjay-server-saved ()
  "Tell the server that this buffer was saved."
  (when (scrubjay-server--known-p)
    (scrubjay-server-sync)
    (scrubjay-server-notify :textDocument/didSave `(:textDocument (:uri ,(scrubjay-server-uri))))))

(defun scrubjay-server-focused ()
  "Tell the server that this buffer is being looked at."
  (when (scrubjay-server-sync)
    (scrubjay-server-notify :textDocument/didFocus `(:textDocument (:uri ,(scrubjay-server-uri))))))

(defun scrubjay-server-mark-lost ()
  "Have the whole text sent the next time."
  (when scrubjay-server--document
    (setf (scrubjay-server--document-lost scrubjay-server--document) t)))

(defun scrubjay-server-position (position)
  "Return POSITION as the protocol has it."
  (save-restriction
    (widen)
    (save-excursion
      (goto-char position)
      (list :line (1- (line-number-at-pos position t))
            :character (scrubjay-server--units (line-beginning-position) position)))))

(defun scrubjay-server--units (start end)
  "Return the length of the text from START to END in the server's units.
It is on one line."
  (let ((beyond 0))
    (unless (equal (plist-get scrubjay-server--capabilities :positionEncoding) "utf-32")
      (save-excursion
        (goto-char start)
        (while (re-search-forward "[\U00010000-\U0010FFFF]" end t)
          (cl-incf beyond))))
    (+ (- end start) beyond)))

(defun scrubjay-server--text (start end)
  "Return the text from START to END as it can be sent.
What is no character becomes U+FFFD.  A carriage return, which would
end a line for the server and does not for Emacs, becomes a blank."
  (let ((text (buffer-substring-no-properties start end)))
    (if (string-match-p "[^\0-\f\x0e-\uD7FF\uE000-\U0010FFFF]" text)
        (replace-regexp-in-string "[^\0-\uD7FF\uE000-\U0010FFFF]" "\uFFFD"
                                  (string-replace "\r" " " text) t t)
      text)))

(defun scrubjay-server--known-p ()
  "Return non-nil if the server knows this buffer under its name."
  (when-let ((document scrubjay-server--document))
    (and (eq (scrubjay-server--document-connection document) scrubjay-server--connection)
         (equal (scrubjay-server--document-file document) buffer-file-name))))

(defun scrubjay-server--open ()
  "Send the whole buffer under its name."
  (scrubjay-server-close)
  (let ((uri (scrubjay-server--file-uri buffer-file-name)))
    (setq scrubjay-server--document
          (scrubjay-server--make-document :connection scrubjay-server--connection
                                          :file buffer-file-name :uri uri :size (buffer-size)))
    (scrubjay-server-notify :textDocument/didOpen
                            `(:textDocument ( :uri ,uri
                                              :languageId ,(scrubjay-server--language)
                                              :version 0
                                              :text ,(scrubjay-server--whole-text))))))

(defun scrubjay-server--whole-text ()
  "Return the whole text as it can be sent."
  (save-restriction
    (widen)
    (scrubjay-server--text (point-min) (point-max))))

(defun scrubjay-server--file-uri (file)
  "Return the URI of FILE, whose links are resolved as the daemon does."
  (concat "file://" (url-hexify-string (file-truename file) url-path-allowed-chars)))

(defun scrubjay-server--language ()
  "Return the daemon's name for this buffer's language."
  (let ((name (replace-regexp-in-string "\\(-ts\\)?-mode\\'" "" (symbol-name major-mode))))
    (or (alist-get (intern name) scrubjay-language-ids) name)))

(defun scrubjay-server--send-changes (document)
  "Send what has changed in DOCUMENT, this buffer's, since the last time."
  (let ((lost (or (scrubjay-server--document-lost document)
                  (scrubjay-server--document-begun document)
                  (/= (scrubjay-server--document-size document) (buffer-size))))
        (changes (nreverse (scrubjay-server--document-changes document))))
    (setf (scrubjay-server--document-changes document) nil
          (scrubjay-server--document-n-changes document) 0
          (scrubjay-server--document-begun document) nil
          (scrubjay-server--document-lost document) nil
          (scrubjay-server--document-size document) (buffer-size))
    (when (or lost changes)
      (scrubjay-server-notify
       :textDocument/didChange
       `( :textDocument ( :uri ,(scrubjay-server--document-uri document)
                          :version ,(cl-incf (scrubjay-server--document-version document)))
          :contentChanges ,(if lost
                               `[(:text ,(scrubjay-server--whole-text))]
                             (vconcat (mapcar #'cdr changes))))))))

;;;; Changes as they happen

(defun scrubjay-server-before-change (start end)
  "Keep where the text from START to END, about to change, is.
For `before-change-functions'."
  (when-let ((document scrubjay-server--document))
    (unless (scrubjay-server--document-lost document)
      (setf (scrubjay-server--document-begun document)
            (let ((from (scrubjay-server-position start)))
              (list start end from (if (= start end) from (scrubjay-server-position end))))))))

(defun scrubjay-server-after-change (start end length)
  "Record that the LENGTH characters at START are now those up to END.
For `after-change-functions'."
  (when-let ((document scrubjay-server--document))
    (unless (scrubjay-server--document-lost document)
      (pcase (scrubjay-server--document-begun document)
        ;; Some primitives announce a wide change and make narrow ones: then only the whole text helps.
        (`(,(pred (= start)) ,(pred (= (+ start length))) ,from ,to)
         (scrubjay-server--record document start end length from to))
        (_ (scrubjay-server--lose document)))
      (setf (scrubjay-server--document-begun document) nil))))

(defun scrubjay-server--lose (document)
  "Give up what is recorded of DOCUMENT."
  (setf (scrubjay-server--document-lost document) t
        (scrubjay-server--document-changes document) nil))

(defun scrubjay-server--record (document start end length from to)
  "Record a change in DOCUMENT.
The text from position FROM to TO, LENGTH characters long, is now that
from START to END."
  (cl-incf (scrubjay-server--document-size document) (- end start length))
  (let ((text (scrubjay-server--text start end))
        (latest (car (scrubjay-server--document-changes document))))
    (if (and latest (zerop length) (eql (car latest) start))
        ;; Typing goes on where it was: one change.
        (let ((change (cdr latest)))
          (setcar latest end)
          (setcdr latest (plist-put change :text (concat (plist-get change :text) text))))
      (push (cons (and (zerop length) end)
                  (list :range (list :start from :end to) :text text))
            (scrubjay-server--document-changes document))
      (when (> (cl-incf (scrubjay-server--document-n-changes document)) scrubjay-server--many-changes)
        (scrubjay-server--lose document)))))

(provide 'scrubjay-server)
;;; scrubjay-server.el ends here
