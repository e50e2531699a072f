;;; scrubjay.el --- Ghost text from a local model  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;; Author: The Scrubjay authors
;; Maintainer: The Scrubjay authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.1"))
;; Keywords: convenience, tools
;; URL: https://scrubjay.invalid/

;; Scrubjay has no public address yet, and package-lint wants one: this one
;; belongs to nobody.

;;; Commentary:

;; Scrubjay is a daemon that keeps your project's context warm in a local
;; model.  With `scrubjay-mode', what the model would write next is shown as
;; ghost text after the cursor while you type:
;;
;;     (add-hook 'prog-mode-hook #'scrubjay-mode)
;;
;; or `global-scrubjay-mode'.  While there is ghost text, and only then, TAB
;; accepts it; `scrubjay-ghost-map' has the other keys.
;;
;; Loading this file changes nothing: no hook, no advice, no key.

;;; Code:

(require 'cl-lib)
(require 'scrubjay-document)
(require 'scrubjay-ghost)
(require 'scrubjay-next-edit)
(eval-when-compile (require 'subr-x))

(defvar company-candidates)
(defvar evil-state)
(defvar scrubjay-mode)

(autoload 'scrubjay-status "scrubjay-status" "Show what Scrubjay has in its context, and what it cost." t)
(autoload 'scrubjay-prompt "scrubjay-status" "Show the prompt at point as the model gets it." t)
(autoload 'scrubjay "scrubjay-menu" "Show what can be done with Scrubjay." t)
(autoload 'scrubjay-diagnose "scrubjay-status" "Find out what is wrong with Scrubjay." t)

;;;; Customization

(defgroup scrubjay nil
  "Ghost text from a local model."
  :group 'convenience
  :prefix "scrubjay-")

(defcustom scrubjay-auto t
  "Whether ghost text comes by itself as you type.
If nil, \\[scrubjay-complete] asks for it.  \\[scrubjay-toggle] switches it in one buffer."
  :type 'boolean
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-delay 0.05
  "Idle seconds after a change before a completion is requested.
A key that comes sooner puts the request off; nothing waits for it."
  :type 'number
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-inhibit-functions '(scrubjay-menu-open-p scrubjay-non-insert-state-p scrubjay-busy-p)
  "Functions that say where ghost text is not to come by itself.
They are called with no argument.  If one returns non-nil, no ghost text
comes, and that which is there goes.  Asking with \\[scrubjay-complete]
works all the same."
  :type 'hook
  :package-version '(scrubjay . "0.1.0"))

;;;; Keys

(defvar scrubjay-ghost-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'scrubjay-accept)
    (define-key map (kbd "<tab>") #'scrubjay-accept)
    (define-key map (kbd "M-<right>") #'scrubjay-accept-word)
    (define-key map [remap forward-word] #'scrubjay-accept-word)
    (define-key map (kbd "M-<down>") #'scrubjay-accept-line)
    (define-key map [remap move-end-of-line] #'scrubjay-accept-line)
    (define-key map [remap zap-to-char] #'scrubjay-accept-to-char)
    (define-key map (kbd "M-n") #'scrubjay-next)
    (define-key map (kbd "M-p") #'scrubjay-previous)
    (define-key map [remap keyboard-quit] #'scrubjay-dismiss)
    map)
  "Keys while ghost text is shown, and at no other time.")

;;;; Where it comes by itself

(defun scrubjay-menu-open-p ()
  "Return non-nil if a completion menu is open: it has the keys, and the place."
  (or (bound-and-true-p completion-in-region-mode)
      (bound-and-true-p company-candidates)))

(defun scrubjay-non-insert-state-p ()
  "Return non-nil if keys do not insert text: Evil is in another state than insert."
  (and (bound-and-true-p evil-local-mode)
       (not (memq evil-state '(insert emacs replace)))))

(defun scrubjay-busy-p ()
  "Return non-nil if text comes from elsewhere, or cannot be inserted."
  (or executing-kbd-macro
      buffer-read-only
      (bound-and-true-p multiple-cursors-mode)
      (use-region-p)))

(defun scrubjay--inhibited-p ()
  "Return the function that wants no ghost text here, or nil."
  (run-hook-wrapped 'scrubjay-inhibit-functions
                    (lambda (function) (and (funcall function) function))))

;;;; Asking

(defvar-local scrubjay--tick 0
  "The buffer's tick after the last command.")

(defvar-local scrubjay--asked nil
  "The last question, unless it has brought something.
It is a list of the tick, point, and whether it was explicit.")

(defvar scrubjay--timer nil
  "Asks when no key has come for `scrubjay-delay' seconds.")

(defun scrubjay--schedule ()
  "Ask when no key has come for a moment."
  (when scrubjay--timer
    (cancel-timer scrubjay--timer))
  (setq scrubjay--timer (run-with-timer scrubjay-delay nil #'scrubjay--ask-unless-stale
                                        (current-buffer) (buffer-chars-modified-tick) (point))))

(defun scrubjay--here-p (buffer tick point)
  "Return non-nil if the user still is in BUFFER, at POINT, and its tick is TICK."
  (and (buffer-live-p buffer)
       (eq buffer (window-buffer (selected-window)))
       (with-current-buffer buffer
         (and (= tick (buffer-chars-modified-tick)) (= point (point))))))

(defun scrubjay--ask-unless-stale (buffer tick point)
  "Send what has changed in BUFFER, and ask what comes next at POINT.
But do nothing if the tick is not TICK any more."
  (with-demoted-errors "Scrubjay: %S"
    (when (scrubjay--here-p buffer tick point)
      (with-current-buffer buffer
        (when scrubjay-mode
          (if (and scrubjay-auto (not scrubjay-ghost-shown) (not (scrubjay--inhibited-p)))
              (scrubjay--ask nil #'scrubjay--take)
            (scrubjay-document-sync)))))))

(defun scrubjay--ask (invoked take)
  "Ask what comes next at the cursor; call TAKE with the items of the answer.
INVOKED: the user has asked, so several items may come.  An answer that comes
when the buffer or the cursor is not as it was is dropped."
  (let* ((buffer (current-buffer))
         (tick (buffer-chars-modified-tick))
         (point (point))
         (asked (setq scrubjay--asked (list tick point invoked))))
    (when (scrubjay-document-sync)
      (scrubjay-server-request
       :textDocument/inlineCompletion
       (scrubjay--question invoked)
       (lambda (answer)
         (when (scrubjay--here-p buffer tick point)
           (with-current-buffer buffer
             (let ((items (scrubjay--items answer)))
               (when (and items (eq asked scrubjay--asked))
                 (setq scrubjay--asked nil))
               (when scrubjay-mode
                 (funcall take items))))))))))

(defun scrubjay--question (invoked)
  "Return the parameters of a question about the cursor's place; INVOKED as above."
  `( :textDocument (:uri ,(scrubjay-document-uri))
     :position ,(scrubjay-document-position (point))
     :context (:triggerKind ,(if invoked 1 2))))

(defun scrubjay--items (answer)
  "Return the items of the server's ANSWER, without line ends at their ends.
At the end of a buffer Emacs would show the cursor after these."
  (cl-loop for item across (or (plist-get answer :items) [])
           for written = (plist-get item :insertText)
           for text = (and (stringp written) (replace-regexp-in-string "\n+\\'" "" written))
           for arguments = (plist-get (plist-get item :command) :arguments)
           unless (member text '(nil ""))
           collect (cons text (and (> (length arguments) 0) (aref arguments 0)))))

(defun scrubjay--take (items)
  "Offer ITEMS, if there are any and nothing speaks against it."
  (when (and items (not (scrubjay--inhibited-p)))
    (scrubjay-ghost-offer items 0)))

(defun scrubjay--take-invoked (items)
  "Offer ITEMS, for which the user has asked."
  (if items
      (scrubjay-ghost-offer items 0)
    (message "Scrubjay has nothing to say here.")))

(defun scrubjay--server-ready ()
  "Tell the server all texts, and ask once more what has had no answer."
  (scrubjay--sync-all)
  (scrubjay--ask-again))

(defun scrubjay--sync-all ()
  "Let the server know all buffers, the one that was looked at last as the last.
A server that has just started knows none."
  (dolist (buffer (reverse (buffer-list)))
    (with-current-buffer buffer
      (when scrubjay-mode
        (scrubjay-document-sync)))))

(defun scrubjay--ask-again ()
  "Ask once more what has had no answer, now that there may be one."
  (with-current-buffer (window-buffer (selected-window))
    (when (and scrubjay-mode (not scrubjay-ghost-shown))
      (pcase scrubjay--asked
        (`(,tick ,point ,invoked)
         (if (and invoked (scrubjay--here-p (current-buffer) tick point))
             (scrubjay--ask t #'scrubjay--take-invoked)
           (scrubjay--ask-unless-stale (current-buffer) tick point)))))))

;;;; What happens in the buffer

(defun scrubjay--post-command ()
  "Move or hide ghost text, and ask for more after a change.  Waits for nothing."
  (with-demoted-errors "Scrubjay: %S"
    (if (and scrubjay-ghost-shown (scrubjay--inhibited-p))
        (scrubjay-ghost-hide)
      (scrubjay-ghost-refresh))
    (let ((tick (buffer-chars-modified-tick)))
      (unless (= tick scrubjay--tick)
        (setq scrubjay--tick tick)
        (scrubjay-next-edit-changed)
        (scrubjay--schedule)))))

;; An error in these two would make Emacs drop every function that watches changes, other packages' too.

(defun scrubjay--before-change (start end)
  "The text from START to END is about to change."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-document-before-change start end)))

(defun scrubjay--after-change (start end length)
  "The LENGTH characters at START are now those up to END."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-document-after-change start end length)))

(defun scrubjay--after-save ()
  "The buffer was saved."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-document-saved)))

(defun scrubjay--selected (window)
  "WINDOW, with this buffer in it, was selected, or no longer is."
  (with-demoted-errors "Scrubjay: %S"
    (if (eq window (selected-window))
        (with-current-buffer (window-buffer window)
          (scrubjay-document-focused))
      (scrubjay-ghost-hide))))

(defun scrubjay--menu-changed (&rest _)
  "A completion menu has opened or closed."
  (when (scrubjay-menu-open-p)
    (scrubjay-ghost-hide)))

(defun scrubjay--turn-off ()
  "Turn `scrubjay-mode' off, as before a change of major mode."
  (scrubjay-mode -1))

(defconst scrubjay--hooks
  '((before-change-functions . scrubjay--before-change)
    (after-change-functions . scrubjay--after-change)
    (post-command-hook . scrubjay--post-command)
    (after-save-hook . scrubjay--after-save)
    (after-revert-hook . scrubjay-document-mark-lost)
    (kill-buffer-hook . scrubjay-document-close)
    (change-major-mode-hook . scrubjay--turn-off)
    (window-selection-change-functions . scrubjay--selected)
    (completion-in-region-mode-hook . scrubjay--menu-changed)
    (company-completion-started-hook . scrubjay--menu-changed))
  "What `scrubjay-mode' watches, in its buffer only.")

;;;; Modes

(defun scrubjay--lighter ()
  "Return what stands in the mode line: ready, warming, unloaded or off."
  (format " Scrubjay:%s" (if scrubjay-auto (scrubjay-server-state) 'off)))

;;;###autoload
(define-minor-mode scrubjay-mode
  "Show what a local model would write next as ghost text.
While it is shown, these keys are active:
\\{scrubjay-ghost-map}"
  :lighter (:eval (scrubjay--lighter))
  (if scrubjay-mode
      (scrubjay--begin)
    (scrubjay--end)))

(defun scrubjay--begin ()
  "Watch this buffer."
  (pcase-dolist (`(,hook . ,function) scrubjay--hooks)
    (add-hook hook function nil t))
  (add-hook 'scrubjay-server-ready-hook #'scrubjay--server-ready)
  ;; Here, open menus come first and other minor modes after.
  (setq-local minor-mode-overriding-map-alist
              (append `((scrubjay-ghost-shown . ,scrubjay-ghost-map)
                        (scrubjay-next-edit-shown . ,scrubjay-next-edit-map))
                      (scrubjay--other-maps)))
  (setq scrubjay--tick (buffer-chars-modified-tick))
  (scrubjay-document-sync))

(defun scrubjay--end ()
  "Leave this buffer alone."
  (scrubjay-ghost-hide)
  (scrubjay-next-edit-hide)
  (pcase-dolist (`(,hook . ,function) scrubjay--hooks)
    (remove-hook hook function t))
  (setq-local minor-mode-overriding-map-alist (scrubjay--other-maps))
  (scrubjay-document-close))

(defun scrubjay--other-maps ()
  "Return the overriding keymaps of this buffer that are not ours."
  (cl-remove-if (lambda (entry) (memq (car entry) '(scrubjay-ghost-shown scrubjay-next-edit-shown)))
                minor-mode-overriding-map-alist))

(defun scrubjay--turn-on ()
  "Turn `scrubjay-mode' on if this buffer has a file on this machine."
  (when (and buffer-file-name (not (file-remote-p buffer-file-name)))
    (scrubjay-mode 1)))

;;;###autoload
(define-globalized-minor-mode global-scrubjay-mode scrubjay-mode scrubjay--turn-on
  :group 'scrubjay
  :predicate '(prog-mode conf-mode text-mode))

;;;; Commands

;;;###autoload
(defun scrubjay-complete ()
  "Ask for ghost text at the cursor, and for alternatives."
  (interactive)
  (unless scrubjay-mode
    (user-error "Turn on `scrubjay-mode' first"))
  (unless buffer-file-name
    (user-error "Only buffers that visit a file are completed"))
  (scrubjay-ghost-hide)
  (scrubjay--ask t #'scrubjay--take-invoked))

(defun scrubjay-toggle ()
  "Switch in this buffer whether ghost text comes by itself."
  (interactive)
  (setq-local scrubjay-auto (not scrubjay-auto))
  (unless scrubjay-auto
    (scrubjay-ghost-hide))
  (force-mode-line-update)
  (message "Scrubjay shows ghost text %s." (if scrubjay-auto "by itself" "when asked")))

(defun scrubjay-restart ()
  "Restart the language server; the daemon and its warm context live on."
  (interactive)
  (scrubjay-server-restart))

(defun scrubjay-warm ()
  "Have the project's context made ready for the cursor's place."
  (interactive)
  (if (scrubjay-document-sync)
      (scrubjay-server-execute "scrubjay.warm"
                               (list (scrubjay-document-uri) (scrubjay-document-position (point)))
                               (lambda (_) (message "Scrubjay is warm here."))
                               (lambda (problem) (message "Scrubjay is not warm: %s" problem)))
    (user-error "%s" (or (scrubjay-server-message) "Scrubjay is starting; try again"))))

(defun scrubjay-next (n)
  "Show the Nth next alternative."
  (interactive "p")
  (unless scrubjay-ghost-shown
    (user-error "There is no ghost text here"))
  (if (cdr (scrubjay-ghost-left))
      (scrubjay-ghost-show-other n)
    (scrubjay--ask t (apply-partially #'scrubjay--take-more n))))

(defun scrubjay-previous (n)
  "Show the Nth previous alternative."
  (interactive "p")
  (scrubjay-next (- n)))

(defun scrubjay--take-more (n items)
  "Offer ITEMS beside what is shown, and show the one that is N after it."
  (let* ((shown (scrubjay-ghost-left))
         (all (cl-remove-duplicates (append shown items) :key #'car :test #'equal :from-end t)))
    (cond ((cdr all) (scrubjay-ghost-offer all (mod n (length all))))
          (t (message "Scrubjay has nothing else to say here.")))))

(provide 'scrubjay)
;;; scrubjay.el ends here
